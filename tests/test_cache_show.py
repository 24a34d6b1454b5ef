"""`fovea cache show`: one image as it is stored and as the model gets it, on a miniature built by the real stages."""

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fovea.cache.read import Cache
from fovea.contact_sheet import draw_sheet, find_image, read_photograph, scaled
from fovea.errors import UserError
from fovea.params.section import load
from fovea.params.train import TrainParams
from fovea.training.data import epoch_batches, make_rows
from fovea.training.seen import see
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project
from tests.small import train_params

CPU = torch.device("cpu")
CHANGES = {"augment.variants": 2, "train.crop": 24, "train.batch_size": 5, "train.frozen.epochs": 2,
           "train.full.epochs": 3, "split.duplicates": "first"}  # fmt: skip
NAMES = pd.Series(["a/7_left.jpeg", "a/17_left.jpeg", "b/7_right.jpeg", "all.zip!c/8.png", "set.npz!train/12"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Stages up to `augment`; one image is there twice, so that split drops its copy."""
    project = Project.create(tmp_path_factory.mktemp("project"))
    images = project.folder / "data/raw/small/normal"
    write_fundus_lesions(images.parent)
    shutil.copy(images / "normal_003.jpg", images / "normal_copy.jpg")
    project.set_params({**SMALL, **CHANGES})
    project.run("dvc repro -q augment")
    return project


@pytest.fixture(scope="module")
def cache(project: Project) -> Cache:
    return Cache(project.folder / "data/cache")


def image_of(cache: Cache, part: str) -> str:
    return str(cache.index.loc[cache.index["split"] == part, "image"].iloc[0])


def place(tile: np.ndarray, picture: np.ndarray) -> tuple[int, int]:
    """Left and top of the first exact copy of `tile`, enlarged as rows of 32 px are, in `picture`."""
    differences = cv2.matchTemplate(picture, scaled(tile[None], 32)[0], cv2.TM_SQDIFF)
    top, left = np.unravel_index(differences.argmin(), differences.shape)
    found = picture[top : top + tile.shape[0] * 4, left : left + tile.shape[1] * 4]
    np.testing.assert_array_equal(found[::4, ::4], tile)
    return int(left), int(top)


def pixels(inputs: torch.Tensor) -> np.ndarray:
    """uint8 (n, h, w, 3) of inputs that were scaled to [0, 1]."""
    return (inputs * 255).round().byte().permute(0, 2, 3, 1).numpy()


def show(project: Project, image: str) -> np.ndarray:
    out = project.run(f"fovea cache show --image {image} --out shown/one.png").stdout.strip()
    assert out == "shown/one.png"
    return np.asarray(Image.open(project.folder / out))


def test_the_lines_are_what_training_gets_of_each_row_in_that_epoch(project: Project, cache: Cache) -> None:
    params = load("train", TrainParams, project.folder / "params.yaml")
    image = image_of(cache, "train")
    picture = show(project, image)
    chosen = (cache.index["split"] == "train").to_numpy()
    rows = make_rows(cache, chosen, params.crop, "unit", CPU)
    mine = np.flatnonzero(cache.index["image"][chosen] == image)
    stored = cache.take(rows.rows[mine])
    places = [[place(tile, picture) for tile in stored]]
    places.append([place(tile[4:28, 4:28], picture[places[0][0][1] + 128 :]) for tile in stored])  # the frozen phase
    for epoch in (3, 4, 5):
        batches = epoch_batches(rows.targets, params, params.seed, epoch)
        order = np.concatenate(batches)
        inputs = torch.cat([batch.inputs for batch in rows.batches(batches, params, epoch)])
        where = [int(np.flatnonzero(order == row)[0]) for row in mine]
        places.append([place(tile, picture) for tile in pixels(inputs)[where]])
    assert len(mine) == 3
    columns = [[left for left, _ in line] for line in places]
    assert columns == [columns[0]] * 5 and columns[0] == sorted(columns[0])
    tops = [line[0][1] for line in [places[0], *places[2:]]]
    assert tops == sorted(tops)


@pytest.mark.parametrize("part", ["val", "test"])
def test_an_image_outside_training_has_one_row_and_its_centre(project: Project, cache: Cache, part: str) -> None:
    params = load("train", TrainParams, project.folder / "params.yaml")
    image = image_of(cache, part)
    seen = see(cache, image, params, [3], 6)
    rows = make_rows(cache, (cache.index["image"] == image).to_numpy(), params.crop, "unit", CPU)
    (inputs,) = rows.in_order(64)
    np.testing.assert_array_equal(seen.inputs[0].pixels, pixels(inputs))
    assert seen.variants == [0] and len(seen.inputs) == 1
    place(pixels(inputs)[0], show(project, image))


def test_of_many_variants_the_first_are_shown_and_the_others_counted(cache: Cache) -> None:
    seen = see(cache, image_of(cache, "train"), train_params(), [1], 2)
    assert seen.variants == [0, 1] and seen.more == 1
    assert len(seen.stored) == len(seen.inputs[0].pixels) == 2


def test_the_photograph_stands_beside_the_rows_as_long_as_its_file_is_that_of_the_cache(
    project: Project, cache: Cache, tmp_path: Path
) -> None:
    image = image_of(cache, "train")
    content = str(cache.index.loc[cache.index["image"] == image, "digest"].iloc[0])
    raw = project.folder / "data/raw/small"
    photograph = read_photograph(raw, image, content)
    assert isinstance(photograph, np.ndarray) and photograph.shape == (64, 72, 3)
    assert read_photograph(raw, image, "0" * 40) == "changed since ingest"
    assert read_photograph(tmp_path, image, content) == "not in data/raw"
    seen = see(cache, image, train_params(), [1], 2)
    with_it, without = draw_sheet(seen, photograph), draw_sheet(seen, "not in data/raw")
    assert with_it.size == without.size and with_it.tobytes() != without.tobytes()


def refusal(project: Project, image: str) -> str:
    done = project.run(f"fovea cache show --image {image}", check=False)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    return done.stderr


def test_an_image_that_split_dropped_is_one_line_with_the_reason(project: Project) -> None:
    split = pd.read_parquet(project.folder / "data/split.parquet")
    (dropped,) = split.loc[split["split"].isna(), "image"]
    line = refusal(project, dropped)
    assert "dropped by split as a copy with the same label" in line and "split.duplicates" in line


def test_a_crop_that_is_larger_than_the_rows_is_one_line(project: Project, cache: Cache) -> None:
    before = project.text("params.yaml")
    project.set_params({"train.crop": 48})
    line = refusal(project, image_of(cache, "test"))
    (project.folder / "params.yaml").write_text(before)
    assert "train.crop: 48 px is larger than the 32 px" in line


def test_without_a_cache_the_line_says_what_to_run(project: Project) -> None:
    cache, aside = project.folder / "data/cache", project.folder / "data/aside"
    cache.rename(aside)
    line = refusal(project, "normal_001")
    aside.rename(cache)
    assert "dvc repro augment" in line


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a/17_left.jpeg", "a/17_left.jpeg"),
        ("7_left", "a/7_left.jpeg"),
        ("17_left.jpeg", "a/17_left.jpeg"),
        ("_right", "b/7_right.jpeg"),
        ("c/8.png", "all.zip!c/8.png"),
        ("zip!c/8", "all.zip!c/8.png"),
        ("train/12", "set.npz!train/12"),
    ],
)
def test_an_image_is_found_by_its_address_or_the_end_of_it(name: str, image: str) -> None:
    assert find_image(name, NAMES) == image


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("_left", "fits 2 images, a/7_left.jpeg, a/17_left.jpeg; give more of it"),
        ("7_lfet.jpeg", "no image is called so; the nearest: a/7_left.jpeg"),
        ("7_", "no image is called so; the nearest: a/7_left.jpeg, a/17_left.jpeg, b/7_right.jpeg"),
        ("zzz\n", "zzz\\n: no image is called so; the nearest: a/7_left.jpeg"),
    ],
)
def test_a_name_that_fits_none_or_several_is_one_line_with_names(name: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        find_image(name, NAMES)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_what_the_model_gets_is_drawn_without_torch() -> None:
    code = """
import sys
import numpy as np
import fovea.report.page
from fovea.contact_sheet import see
from fovea.params.section import load
from fovea.params.train import TrainParams
from fovea.training.seen import inputs_of
inputs_of(np.zeros((1, 8, 8, 3), np.uint8), ["a/0"], "train", load("train", TrainParams), [1])
print({"torch", "mlflow"} & set(sys.modules))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
