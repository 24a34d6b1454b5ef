"""Peaks of explanations against marks that are known: where the marks lie in the cache, hits, chance."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fovea.cache.circle import Circle
from fovea.cache.picture import make_square
from fovea.cache.read import Cache
from fovea.demo.dataset import draw_dataset
from fovea.demo.photograph import draw_camera, draw_photograph, field_of_view
from fovea.evaluation.explain import Explainer, Layer
from fovea.evaluation.pointing import Scene, hit_rates, make_scene, peak, pointing_game, read_marks, round_field
from tests.cache_sets import augment_params, encode_png
from tests.small import write_cache

KEY, SEED, SIDE = "0001_left", 6, 400


def marks_of_drawn(folder: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The marks of a photograph, itself, and the same eye without lesions."""
    ill, lesions = draw_photograph(KEY, 2, SIDE, SEED)
    healthy, _ = draw_photograph(KEY, 0, SIDE, SEED)
    tables = {"lesions": ["image,lesion,x,y,radius", *(f"{KEY},{one.kind},{one.x},{one.y},{one.radius}"
                                                       for one in lesions)],
              "fields": ["image,x,y,radius", ",".join(map(str, (KEY, *field_of_view(draw_camera(KEY, SEED), SIDE))))]}
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines))
    marks = read_marks(folder / "lesions.csv", folder / "fields.csv")
    assert marks is not None
    return marks, ill, healthy


@pytest.mark.parametrize("crop", ["fundus", "centre", "none"])
def test_marks_lie_on_the_lesions_of_the_cached_image_however_it_was_cropped(crop: str, tmp_path: Path) -> None:
    marks, ill, healthy = marks_of_drawn(tmp_path)
    squares = [make_square(encode_png(image), augment_params(image_size=160, crop=crop))[0] for image in (ill, healthy)]
    field = round_field(squares[0])
    assert field is not None
    covered = make_scene(np.zeros((160, 160)), field, marks, 160, 1.5).covered
    changed = np.abs(squares[0].astype(int) - squares[1]).max(axis=2) > 25
    assert changed.sum() > 50
    assert covered[changed].mean() > 0.97
    assert covered.mean() < 0.35


def test_the_drawn_set_says_where_each_field_is(tmp_path: Path) -> None:
    draw_dataset(tmp_path / "demo", patients=3, seed=SEED, min_size=60, max_size=90, workers=1)
    with (tmp_path / "demo" / "fields.csv").open() as file:
        fields = {row["image"]: [float(row[name]) for name in ("x", "y", "radius")] for row in csv.DictReader(file)}
    lesions = pd.read_csv(tmp_path / "demo" / "lesions.csv")
    assert set(lesions["image"]) <= set(fields)
    camera = draw_camera(KEY, SEED)
    assert fields[KEY] == pytest.approx(list(field_of_view(camera, 60 + round(30 * camera.size_share))), abs=0.051)
    marks = read_marks(tmp_path / "demo" / "lesions.csv", tmp_path / "demo" / "fields.csv")
    assert marks is not None and np.hypot(marks["x"], marks["y"]).max() < 1
    assert read_marks(tmp_path / "none.csv", tmp_path / "demo" / "fields.csv") is None


def scene(at: tuple[int, int] | None, *places: tuple[int, int]) -> Scene:
    covered = np.zeros((4, 4), bool)
    for place in places:
        covered[place] = True
    return Scene(at, covered, covered.mean())


def test_rates_agree_with_a_count_by_hand() -> None:
    found = hit_rates([scene((0, 0), (0, 0), (1, 1)), scene((1, 1), (1, 1)), scene((2, 2), (0, 0)), scene(None)])
    assert (found["n"], found["hits"], found["share"]) == (4, 2, 0.5)
    assert found["area"] == pytest.approx((2 + 1 + 1 + 0) / 16 / 4)
    # of the other images' marks the first peak hits the third's, the second the first's, and no other peak hits any
    assert found["elsewhere"] == pytest.approx(2 / 12)


def test_the_interval_is_the_exact_one() -> None:
    """Clopper and Pearson: with all hits the lower end is the n-th root of 0.025."""
    found = hit_rates([scene((0, 0), (0, 0))] * 7)
    assert (found["low"], found["high"]) == (pytest.approx(0.025 ** (1 / 7)), 1.0)
    assert found["elsewhere"] == 1.0


def test_without_images_nothing_is_said() -> None:
    assert hit_rates([]) == {"n": 0, "hits": 0, "share": None, "low": None, "high": None, "area": None,
                             "elsewhere": None}
    assert hit_rates([scene((0, 0))])["elsewhere"] is None


def test_the_peak_of_a_flat_top_is_its_middle() -> None:
    heat = np.zeros((9, 9))
    heat[2:5, 4:9] = 1
    assert peak(heat) == (3, 6)
    assert peak(0 * heat) is None


def test_outside_of_what_the_model_sees_nothing_counts() -> None:
    rows, columns = np.mgrid[:40, :40]
    field = round_field((np.hypot(rows - 19.5, columns - 19.5) < 18)[..., None] * np.full(3, 200, np.uint8))
    assert field is not None
    marks = pd.DataFrame({"x": [-0.9], "y": [0.0], "radius": [0.1]})
    whole, centre = (make_scene(np.ones((40, 40)), field, marks, seen, 0) for seen in (40, 20))
    assert whole.covered.any() and not centre.covered.any()


def test_the_peak_is_sought_where_the_model_sees_the_field_and_the_area_is_a_share_of_that() -> None:
    heat = np.zeros((40, 40))
    heat[20, 2], heat[20, 14] = 1, 0.5
    marks = pd.DataFrame({"x": [-0.3], "y": [0.0], "radius": [0.1]})
    found = make_scene(heat, Circle(20, 20, 18), marks, 20, 0)
    assert found.peak == (20, 14)
    assert found.share == found.covered.sum() / 400


class Pointer(Explainer):
    """Points at the middle, but of image-007 at the right, whatever the model."""

    def maps(self, table: pd.DataFrame) -> Iterator[np.ndarray]:
        for image in table["image"]:
            heat = np.zeros((32, 32), np.float32)
            heat[16, 26 if image == "image-007.png" else 16] = 1
            yield heat


def test_the_game_is_played_by_the_marked_test_images_of_a_round_field(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    write_cache(folder, images=16, classes=("a", "b"))  # 6, 7, 14 and 15 are test
    place = np.arange(32) - 15.5
    round_one = np.hypot(place, place[:, None]) < 14
    pixels = np.broadcast_to(round_one[..., None] * np.uint8(150), (16, 32, 32, 3)).copy()
    pixels[15] = 150  # no round field
    np.save(folder / "0.npy", pixels)
    cache = Cache(folder)
    table = cache.index[["image", "split", "label"]].assign(prediction=lambda rows: rows["label"])
    table.loc[14, "prediction"] = "b"
    names = [f"image-{number:03d}" for number in (4, 6, 7, 14, 15)]
    marks = pd.DataFrame({"image": names, "x": 0.0, "y": 0.0, "radius": 0.2})
    model = nn.Identity()
    pointer = Pointer(model, {"size": 32}, Layer("", model, 16), cache, torch.device("cpu"))
    found = pointing_game(table, marks, pointer, cache)
    assert found["tolerance"] == 1
    assert (found["right"]["n"], found["right"]["hits"], found["wrong"]["n"], found["wrong"]["hits"]) == (2, 1, 1, 1)
