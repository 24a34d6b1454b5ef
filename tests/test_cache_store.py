"""What is rendered again: rows whose content, settings or code are new, and no others, whatever happened in between."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fovea.cache import keys, plan
from fovea.cache.read import Cache
from fovea.raw import digest
from tests.cache_sets import ROW, Place, augment_params, draw_eye, tables, write_png, write_set
from tests.import_closure import ROOT, import_closure


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 4 * ROW)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def version(raw: Path, images: dict[str, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Files of these names with eyes drawn from these seeds."""
    for image, seed in images.items():
        write_png(raw / image, draw_eye(seed))
    digests = [digest((raw / image).read_bytes()) for image in images]
    return tables(list(images), digests, [seed % 2 for seed in images.values()], ["train"] * len(images))


IMAGES = st.dictionaries(st.integers(0, 8).map("{}.png".format), st.integers(0, 5), min_size=1)
VERSIONS = st.lists(st.tuples(IMAGES, st.integers(0, 2)), min_size=1, max_size=4)  # names with seeds, and variants


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=VERSIONS)
def test_any_history_gives_the_bytes_of_a_cold_build_and_renders_each_row_once(
    versions: list[tuple[dict[str, int], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = Place(tmp_path_factory.mktemp("history"))
    seen: set[tuple[str, int]] = set()
    for images, variants in versions:
        manifest, split = version(place.raw, images)
        built = place.build(manifest, split, variants=variants)
        rows = {(content, variant) for content in manifest["digest"] for variant in range(variants + 1)}
        new = rows - seen
        assert len(new) <= built.rendered <= len(new) * 9  # twice, if a new image is there under two names
        assert built.rendered == 0 or new
        seen |= rows
        cold = Place(tmp_path_factory.mktemp("cold"))
        cold.raw = place.raw
        cold.build(manifest, split, workers=1, variants=variants)
        assert cold.contents() == place.contents()


def test_the_same_set_again_renders_nothing_and_needs_no_raw_files(place: Place) -> None:
    manifest, split = write_set(place.raw)
    assert place.build(manifest, split).rendered == 23
    shutil.rmtree(place.raw)
    assert place.build(manifest, split).rendered == 0


def test_a_changed_image_renders_its_own_rows(place: Place) -> None:
    place.build(*write_set(place.raw))
    manifest, split = write_set(place.raw)
    write_png(place.raw / "images/2.png", draw_eye(77))
    manifest.loc[2, "digest"] = digest((place.raw / "images/2.png").read_bytes())
    assert place.build(manifest, split).rendered == 3


def test_an_added_image_renders_its_own_rows_and_a_removed_one_none(place: Place) -> None:
    manifest, split = write_set(place.raw, count=12)
    place.build(manifest.drop(index=5), split.drop(index=5))
    assert place.build(manifest, split).rendered == 3
    assert place.build(manifest.drop(index=7), split.drop(index=7)).rendered == 0


def test_another_set_in_between_changes_nothing(place: Place) -> None:
    place.build(*write_set(place.raw))
    place.build(*version(place.raw, {"other.png": 50}))
    assert place.build(*write_set(place.raw)).rendered == 0


def test_a_renamed_image_renders_nothing(place: Place) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    for table in (manifest, split):
        table["image"] = table["image"].str.replace("images/", "other/")
    assert place.build(manifest, split).rendered == 0


def test_a_new_label_or_part_renders_only_variants_that_it_makes_necessary(place: Place) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    manifest.loc[0, "label"], manifest.loc[0, "target"] = "class 0", 0
    assert place.build(manifest, split).rendered == 0
    split.loc[6, "split"] = "train"
    assert place.build(manifest, split).rendered == 2


@pytest.mark.parametrize("change", [
    {"image_size": 17}, {"crop": "centre"}, {"fit": "squash"}, {"interpolation": "bilinear"}, {"exact": True},
    {"normalise": "ben_graham"},
], ids=str)  # fmt: skip
def test_another_square_renders_every_row(place: Place, change: dict[str, Any]) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    assert place.build(manifest, split, **change).rendered == 23


@pytest.mark.parametrize("change", [
    {"seed": 1}, {"render": {"hflip": 0.4}}, {"render": {"vflip": 0.4}}, {"render": {"rotation": 16.0}},
    {"render": {"scale": (0.9, 1.2)}}, {"render": {"brightness": 0.2}}, {"render": {"contrast": 0.2}},
    {"render": {"saturation": 0.2}}, {"render": {"blur": 0.6}},
], ids=str)  # fmt: skip
def test_another_draw_renders_every_variant_from_the_stored_squares(place: Place, change: dict[str, Any]) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    shutil.rmtree(place.raw)
    assert place.build(manifest, split, **change).rendered == 14


def test_more_variants_render_the_new_ones_alone(place: Place) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    assert place.build(manifest, split, variants=3).rendered == 7
    assert place.build(manifest, split, variants=1).rendered == 0


@pytest.mark.parametrize(("name", "rendered"), [("SQUARE_CODE", 23), ("VARIANT_CODE", 14)])
def test_other_code_renders_what_it_makes(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, rendered: int
) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    monkeypatch.setattr(keys, name, "other")
    assert place.build(manifest, split).rendered == rendered


@pytest.mark.parametrize(("module", "code"), [("picture", keys.SQUARE_CODE), ("render", keys.VARIANT_CODE)])
def test_code_that_makes_pixels_is_in_the_keys(module: str, code: dict[str, str]) -> None:
    maker = f"src/fovea/cache/{module}.py"
    reading = tuple(f"src/fovea/{name}" for name in ("errors", "files", "ingest/", "params/", "raw", "store", "urls"))
    assert {path for path in import_closure(ROOT / maker) if not path.startswith(reading)} | {maker} == set(code)


def test_another_version_of_a_library_renders_every_row(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    monkeypatch.setattr(keys, "LIBRARIES", (*keys.LIBRARIES, "pandas"))
    assert place.build(manifest, split).rendered == 23


def test_every_parameter_of_the_section_is_a_count_a_draw_or_in_the_squares() -> None:
    squares = set(keys.square_params(augment_params()))
    assert squares == {"image_size", "crop", "fit", "interpolation", "exact", "normalise"}


def test_the_shards_of_the_cache_are_those_of_the_store(place: Place) -> None:
    place.build(*write_set(place.raw))
    shards = list(place.cache.glob("*.npy"))
    stored = {path.stat().st_ino for path in place.settings_folder().glob("*.npy")}
    assert {path.stat().st_ino for path in shards} == stored
    assert not any(os.access(path, os.W_OK) for path in shards) or os.geteuid() == 0


def test_a_deleted_cache_comes_back_without_rendering(place: Place) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    before = place.contents()
    shutil.rmtree(place.cache)
    assert place.build(manifest, split).rendered == 0
    assert place.contents() == before


def overwrite(path: Path, place: int) -> None:
    """Change a byte where it lies, as no part of the project does."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 255]))


def test_a_row_that_was_overwritten_is_rendered_again(place: Place) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    before = place.contents()
    largest = max(place.settings_folder().glob("*.npy"), key=lambda path: path.stat().st_size)
    overwrite(largest, 128 + ROW + 5)
    assert place.build(manifest, split).rendered == 1
    assert place.contents() == before


@pytest.mark.parametrize("suffix", ["npy", "rows"])
def test_half_a_store_is_enough(place: Place, suffix: str) -> None:
    manifest, split = write_set(place.raw)
    place.build(manifest, split)
    before = place.contents()
    for path in random.Random(0).sample(sorted(place.settings_folder().glob(f"*.{suffix}")), 2):
        path.unlink()
    assert 0 < place.build(manifest, split).rendered < 23
    assert place.contents() == before


def test_identical_images_have_the_pixels_of_one_another(place: Place) -> None:
    images = {f"{name}/{seed}.png": seed for name in ("a", "b") for seed in range(12)}
    manifest, split = version(place.raw, images)
    place.build(manifest, split)
    cache = Cache(place.cache)
    pixels = pd.Series([row.tobytes() for row in cache.take(np.arange(len(cache)))])
    assert (pixels.groupby([cache.index["digest"], cache.index["variant"]]).nunique() == 1).all()
    assert pixels.nunique() == 36


def test_a_row_whose_file_is_lost_comes_from_another_shard_that_has_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 64 * ROW)
    manifest, split = version(place.raw, {"0.png": 0, "1.png": 1})
    place.build(manifest, split, variants=0)
    for one in (0, 1):
        place.build(manifest.iloc[[one]], split.iloc[[one]], variants=0)
    for path in place.settings_folder().glob("*.npy"):
        if path.stat().st_size == 128 + ROW:
            path.unlink()
    for one in (0, 1):
        assert place.build(manifest.iloc[[one]], split.iloc[[one]], variants=0).rendered == 0
