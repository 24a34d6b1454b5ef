"""`fovea predict`: the same probabilities for files as `evaluate` has for the rows of the cache."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fovea.cache.read import Cache
from fovea.classifier import classifier as classifiers
from fovea.classifier.classifier import Classifier, load_classifier, save_classifier
from fovea.cli import app
from fovea.errors import UserError
from fovea.evaluation import predict as predicting
from fovea.evaluation.calibration import scaled
from fovea.evaluation.predict import predict
from fovea.evaluation.table import probabilities
from fovea.evaluation.unlike import make_reference, nearest, shrunk
from fovea.raw import digest
from fovea.training.model import load_model
from tests import odd_images
from tests.cache_sets import Place, draw_eye, encode_png, tables
from tests.classifiers import CPU, write_model
from tests.odd_files import flipped_bit
from tests.small import write_cache
from tests.trainings import silent


def formats() -> dict[str, bytes]:
    """One image of each kind of pixels that is read."""
    eye = Image.fromarray(draw_eye(1, 60, 80))
    kinds = {"deep.png": odd_images.png(16, 2, (80, 60)), "deep_grey.png": odd_images.png(16, 0, (80, 60))}
    for name, image, options in (
        ("colour.jpg", eye.resize((800, 600)), {"quality": 90}), ("grey.jpg", eye.convert("L"), {}),
        ("cmyk.jpg", eye.convert("CMYK"), {}), ("progressive.jpg", eye, {"progressive": True}),
        ("turned.jpg", eye, {"exif": turned()}), ("alpha.png", with_alpha(eye), {}), ("plain.bmp", eye, {}),
        ("deep.tiff", Image.fromarray(np.asarray(eye.convert("L")).astype(np.uint16) * 257), {}),
        ("lossy.webp", eye, {}), ("still.gif", eye, {}),
        ("palette.png", eye.quantize(16), {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, name.split(".")[1].upper().replace("JPG", "JPEG"), **options)
        kinds[name] = buffer.getvalue()
    return kinds


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def write_formats(place: Place) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All `formats` twice: to predict, as the test part, and with other names and colours to train and choose on."""
    contents = {f"images/{name}": data for name, data in formats().items()}
    contents |= {f"images/{number}.png": encode_png(draw_eye(number, 60, 60)) for number in range(20, 32)}
    for name, data in contents.items():
        path = place.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    parts = ["val" if number % 2 else "train" for number in range(12)]
    names = list(contents)
    return tables(names, [digest(contents[name]) for name in names], [number % 2 for number in range(len(names))],
                  ["test"] * (len(names) - 12) + parts)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("formats"))


@pytest.fixture(scope="module")
def built(place: Place) -> Cache:
    place.build(*write_formats(place), image_size=32)
    return Cache(place.cache)


def evaluated(cache: Cache, model: Path, views: int) -> pd.DataFrame:
    """Probabilities as `evaluate` has them, by image."""
    return predict(*load_model(model), cache, CPU, views, silent).set_index("image")


def of_files(found: Classifier, raw: Path, images: "pd.Index[Any]") -> np.ndarray:
    return found.see(np.stack([found.square((raw / image).read_bytes()) for image in images])).chances


def require_same(place: Place, cache: Cache, model: Path, views: int = 1) -> None:
    expected = evaluated(cache, model, views)
    found = of_files(load_classifier(model, CPU), place.raw, expected.index)
    np.testing.assert_allclose(found, probabilities(expected, cache.attrs["classes"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("normalise", ["none", "ben_graham", "clahe_lightness", "clahe_green"])
@pytest.mark.parametrize("crop", ["fundus", "centre", "none"])
def test_files_of_every_pixel_format_get_the_probabilities_of_the_cache(
    tmp_path: Path, crop: str, normalise: str
) -> None:
    place = Place(tmp_path)
    fit, kind = ("squash", "bilinear") if normalise == "none" else ("pad", "bicubic")
    place.build(*write_formats(place), image_size=32, crop=crop, normalise=normalise, fit=fit, interpolation=kind,
                variants=0)  # fmt: skip
    cache = Cache(place.cache)
    require_same(place, cache, write_model(tmp_path / "models", cache))


@pytest.mark.parametrize("changes", [
    {"views": 2}, {"views": 8}, {"crop": 27}, {"scaling": "caffe"}, {"loss": "binary_cross_entropy"},
], ids=str)  # fmt: skip
def test_views_crops_scalings_and_losses_are_those_of_evaluate(
    place: Place, built: Cache, tmp_path: Path, changes: dict[str, Any]
) -> None:
    require_same(place, built, write_model(tmp_path, built, **changes), changes.get("views", 1))


def test_the_square_is_the_row_of_the_cache_bit_for_bit(place: Place, built: Cache, tmp_path: Path) -> None:
    found = load_classifier(write_model(tmp_path, built), CPU)
    for row, (image, variant) in enumerate(zip(built.index["image"], built.index["variant"], strict=True)):
        if variant == 0:
            square = found.square((place.raw / image).read_bytes())
            np.testing.assert_array_equal(square, built.take(np.array([row]))[0])


def test_calibrated_probabilities_have_the_temperature_and_the_label_has_not(built: Cache, tmp_path: Path) -> None:
    found = load_classifier(write_model(tmp_path, built, temperature=3.0), CPU)
    chances = np.array([[0.9, 0.1], [0.2, 0.8]])
    np.testing.assert_allclose(found.calibrated(chances), scaled(chances, 3.0))
    assert list(found.labels(chances)) == ["class 0", "class 1"]
    without = load_classifier(write_model(tmp_path / "without", built, temperature=None), CPU)
    np.testing.assert_array_equal(without.calibrated(chances), chances)


def test_the_label_at_an_operating_point(built: Cache, tmp_path: Path) -> None:
    found = load_classifier(write_model(tmp_path, built), CPU)
    point = found.point("sensitivity=0.9")
    assert found.point("class 1:sensitivity=0.9") == point and point.threshold == 0.5
    assert list(found.labels(np.array([[0.5, 0.5], [0.51, 0.49]]), point)) == ["class 1", "class 0"]
    with pytest.raises(UserError, match=r"--at specificity=0.9: .* there are class 1:sensitivity=0.9\."):
        found.point("specificity=0.9")


def test_of_several_classes_the_point_is_against_the_others(cache: Cache, tmp_path: Path) -> None:
    found = load_classifier(write_model(tmp_path / "models", cache), CPU)
    assert list(found.labels(np.array([[0.1, 0.5, 0.4], [0.6, 0.2, 0.2]]), found.point("c:sensitivity=0.9"))) == [
        "c", "not c"]


def test_one_file_has_all_that_the_two_have(place: Place, built: Cache, tmp_path: Path) -> None:
    model = write_model(tmp_path, built, views=2)
    found = load_classifier(model, CPU)
    save_classifier(tmp_path / "one.pt", found)
    again = load_classifier(tmp_path / "one.pt", CPU)
    squares = built.take(np.arange(4))
    for one, other in zip(found.see(squares), again.see(squares), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.prediction.points == found.prediction.points and again.record == found.record


def test_a_model_without_its_evaluation_or_with_another_ones_is_refused(built: Cache, tmp_path: Path) -> None:
    model, other = write_model(tmp_path / "a", built), write_model(tmp_path / "b", built, scaling="unit")
    other.with_name("prediction.pt").replace(model.with_name("prediction.pt"))
    with pytest.raises(UserError, match=r"prediction\.pt is of another model; run dvc repro"):
        load_classifier(model, CPU)
    with pytest.raises(UserError, match="was not evaluated"):
        load_classifier(other, CPU)
    model.with_name("prediction.pt").write_text("x")
    with pytest.raises(UserError, match="is no classifier"):
        load_classifier(model, CPU)
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(UserError, match="is no classifier"):
        load_classifier(tmp_path / "text.pt", CPU)
    torch.save({"state_dict": {}}, tmp_path / "old.pt")
    with pytest.raises(UserError, match="is no classifier"):
        load_classifier(tmp_path / "old.pt", CPU)
    with pytest.raises(UserError, match="not found"):
        load_classifier(tmp_path / "none.pt", CPU)


# What is unlike the training images


def test_validation_images_are_hardly_ever_flagged_and_noise_is(built: Cache, tmp_path: Path) -> None:
    found = load_classifier(write_model(tmp_path, built), CPU)
    val = np.flatnonzero((built.index["split"] == "val") & (built.index["variant"] == 0))
    assert (found.see(built.take(val)).distances <= 1).sum() >= len(val) - 2
    noise = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    assert (found.see(noise).distances > 1).all()


def test_features_are_those_of_the_image_as_it_is_in_every_batch(
    built: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squares = built.take(np.arange(12))
    expected = load_classifier(write_model(tmp_path / "one", built), CPU).see(squares).distances
    found = load_classifier(write_model(tmp_path / "eight", built, views=8), CPU)
    monkeypatch.setattr(predicting, "INFERENCE_BATCH", 5)
    np.testing.assert_allclose(found.see(squares).distances, expected, rtol=1e-4)


def test_a_model_to_which_all_images_are_the_same_leaves_the_pixels_to_tell(cache: Cache, tmp_path: Path) -> None:
    model, record = load_model(write_model(tmp_path / "models", cache))
    for weight in model.parameters():
        weight.data.zero_()
    reference = make_reference(model, record, cache, CPU)
    same = np.zeros((2, reference.features.shape[1]))
    white = shrunk(np.full((2, 32, 32, 3), 255, np.uint8))
    assert (reference.distances(same, white) > 1).all()


def test_without_validation_images_nothing_is_known(cache: Cache, tmp_path: Path) -> None:
    cache.index["split"] = cache.index["split"].replace("val", "test")
    found = load_classifier(write_model(tmp_path / "models", cache), CPU)
    assert np.isnan(found.see(cache.take(np.arange(3))).distances).all()


def test_the_reference_does_not_depend_on_test_images(cache: Cache, tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path / "models", cache))
    before = make_reference(*model, cache, CPU)
    changed = write_cache(tmp_path / "changed")
    rows = np.load(tmp_path / "changed/0.npy")
    rows[(changed.index["split"] == "test").to_numpy()] = 0
    np.save(tmp_path / "changed/0.npy", rows)
    after = make_reference(*model, Cache(tmp_path / "changed"), CPU)
    np.testing.assert_array_equal(before.features, after.features)
    np.testing.assert_array_equal(before.pixels, after.pixels)
    assert before.limits == after.limits


def test_the_distance_is_that_to_the_tenth_nearest() -> None:
    rng = np.random.default_rng(0)
    known, new = rng.normal(size=(50, 7)), rng.normal(size=(5, 7))
    every = np.sort(np.linalg.norm(new[:, None] - known, axis=2), axis=1)
    np.testing.assert_allclose(nearest(known, new), every[:, 9])
    np.testing.assert_allclose(nearest(known[:3], new), np.linalg.norm(new[:, None] - known[:3], axis=2).max(axis=1))
    assert shrunk(np.full((2, 32, 32, 3), 255, np.uint8)).tolist() == [[1.0] * 192] * 2


# The command


def run(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["predict", *words, "--out", str(folder / "found.csv"), "--device", "cpu"])


@pytest.fixture(scope="module")
def model(built: Cache, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("models"), built))


def test_a_folder_a_pattern_and_an_archive_give_the_same(
    place: Place, built: Cache, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.raw)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as packed:
        for path in sorted(place.raw.rglob("*.*")):
            packed.write(path, path.relative_to(place.raw))
    found = []
    for words in (["images"], ["images/*"], [str(tmp_path / "images.zip")]):
        done = run(tmp_path, *words, "--model", model)
        assert done.exit_code == 0, done.output
        table = pd.read_csv(tmp_path / "found.csv")
        table["image"] = table["image"].str.replace(f"{tmp_path}/images.zip!", "")
        found.append(table)
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other)
    expected = evaluated(built, Path(model), 1)
    mine = found[0].set_index("image").loc[expected.index]
    np.testing.assert_allclose(mine[["p_class 0", "p_class 1"]], expected[["p_class 0", "p_class 1"]], atol=1e-6)
    assert (mine["label"] == expected["prediction"]).all()
    calibrated = scaled(mine[["p_class 0", "p_class 1"]].to_numpy(), 2.0)
    np.testing.assert_allclose(mine[["calibrated_class 0", "calibrated_class 1"]], calibrated, atol=1e-6)


def test_parquet_has_the_same_columns_and_an_image_named_twice_is_there_once(
    place: Place, model: str, tmp_path: Path
) -> None:
    image = str(place.raw / "images/colour.jpg")
    out = tmp_path / "found.parquet"
    words = ["predict", image, image, "--model", model, "--out", str(out), "--at", "sensitivity=0.9"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "1 images, " in done.output and "labels at class 1:sensitivity=0.9" in done.output
    assert list(pd.read_parquet(out)) == ["image", "label", "unlike", "distance", "p_class 0", "p_class 1",
                                          "calibrated_class 0", "calibrated_class 1"]  # fmt: skip


def test_a_link_that_is_named_itself_is_followed(place: Place, model: str, tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(place.raw / "images/colour.jpg")
    done = run(tmp_path, str(tmp_path / "link.jpg"), "--model", model)
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv(tmp_path / "found.csv")["image"]) == [str(tmp_path / "link.jpg")]


def test_a_link_to_an_archive_a_home_and_a_folder_at_a_url_are_followed(
    place: Place, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "real.zip", "w") as packed:
        packed.write(place.raw / "images/colour.jpg", "a/colour.jpg")
    (tmp_path / "link.zip").symlink_to(tmp_path / "real.zip")
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes/one.png").write_bytes(encode_png(draw_eye(1)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for words, names in (
        ("link.zip", ["link.zip!a/colour.jpg"]), ("~/eyes/*.png", [f"{tmp_path}/eyes/one.png"]),
        (f"file://{tmp_path}/eyes", [f"file://{tmp_path}/eyes/one.png"]),
        (f"file://{tmp_path}/eyes/one.png", [f"file://{tmp_path}/eyes/one.png"]),
    ):
        done = run(tmp_path, words, "--model", model)
        assert done.exit_code == 0, done.output
        assert list(pd.read_csv(tmp_path / "found.csv")["image"]) == names
    assert not (tmp_path / ".cache").exists()  # nobody asked for copies of these photographs


def write_unusable(folder: Path) -> dict[str, str]:
    """Files that are no usable images, and what is said of each."""
    whole = formats()
    folder.mkdir()
    (folder / "cut.jpg").write_bytes(whole["colour.jpg"][:-400])
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").touch()
    (folder / "photo.heic").write_bytes(b"heic")
    (folder / "bomb.png").write_bytes(odd_images.png(1, 0, (60000, 60000), data=b"\0"))
    (folder / "outside.png").symlink_to("/etc/hostname")
    return {"cut.jpg": "truncated or damaged JPEG", "text.png": "not an image", "empty.jpg": "not an image",
            "photo.heic": "a format that is not read: .heic", "bomb.png": "60000 x 60000 px, more than 100,000,000",
            "outside.png": "symbolic link that leads out of the set's folder"}  # fmt: skip


def test_what_cannot_be_used_is_listed_with_its_reason(place: Place, model: str, tmp_path: Path) -> None:
    reasons = write_unusable(tmp_path / "mixed")
    (tmp_path / "mixed/good.jpg").write_bytes(formats()["colour.jpg"])
    done = run(tmp_path, str(tmp_path / "mixed"), "--model", model)
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv(tmp_path / "found.csv")["image"]) == [str(tmp_path / "mixed/good.jpg")]
    listed = pd.read_csv(tmp_path / "found_rejected.csv").set_index("image")["reason"]
    for name, reason in reasons.items():
        assert listed[str(tmp_path / "mixed" / name)].startswith(reason)
    assert f"{len(reasons)} images that could not be used" in done.output


def test_the_files_that_ingest_rejects_are_rejected_and_no_others(
    place: Place, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fovea.ingest.check import check_bytes

    monkeypatch.setattr(classifiers, "MAX_PIXELS", 10_000_000)
    found = load_classifier(model, CPU)
    whole = formats()
    cut = {f"{name} cut at {share}": data[: int(share * len(data))] for name, data in whole.items()
           for share in (0.3, 0.7, 0.95)}
    place_of_data = whole["palette.png"].index(b"IDAT") + 12
    cut["damaged.png"] = flipped_bit(whole["alpha.png"], whole["alpha.png"].index(b"IDAT") + 5)
    cut["later.png"] = flipped_bit(whole["palette.png"], place_of_data)
    text = whole["alpha.png"][:8] + odd_images.chunk(b"tEXt", b"a\0b") + whole["alpha.png"][8:]
    for name, data in {**whole, **cut, "text first.png": text}.items():
        try:
            found.square(data)
            usable = True
        except UserError:
            usable = False
        assert usable == (not isinstance(check_bytes(data, 10_000_000), str)), name


def test_no_usable_image_is_an_error(model: str, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    done = run(tmp_path, str(tmp_path / "text.png"), "--model", model)
    assert done.exit_code == 1 and "error: none of 1 images could be used" in done.output
    for words, line in (
        ([str(tmp_path / "gone")], "no such file or folder"), ([str(tmp_path)], "holds no image"),
        (["https://ada:secret@host/a.png"], "IMAGES: https://***@host/a.png holds a password"),
        ([str(tmp_path / "text.png"), "--at", "nothing"], "--at nothing: no such operating point"),
    ):
        (tmp_path / "text.png").rename(tmp_path / "text.txt") if words == [str(tmp_path)] else None
        (tmp_path / "text.txt").rename(tmp_path / "text.png") if "--at" in words else None
        done = run(tmp_path, *words, "--model", model)
        assert done.exit_code == 1 and line in done.output, done.output
    assert not (tmp_path / "found.csv").exists()


def test_each_explained_image_has_a_picture_of_itself_and_of_what_it_rests_on(
    place: Place, model: str, tmp_path: Path
) -> None:
    images = [str(place.raw / f"images/{number}.png") for number in range(20, 32)]
    done = run(tmp_path, *images, "--model", model, "--explain")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "found.csv")
    assert list(table["explanation"][:2]) == ["000000-20.jpg", "000001-21.jpg"]
    found = load_classifier(model, CPU)
    differences = []
    for name, image in zip(table["explanation"], images, strict=True):
        with Image.open(tmp_path / "found_explained" / name) as picture:
            left, right = np.split(np.asarray(picture).astype(int), 2, axis=1)
        assert np.abs(left - found.square(Path(image).read_bytes())).mean() < 10
        differences.append(np.abs(left - right).max())
    assert max(differences) > 50  # where anything speaks for the label, which this untrained net does not always find
