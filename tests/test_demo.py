"""The drawn image set: the same for everyone, labelled by what is on it, and by nothing else."""

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from fovea.demo.dataset import GRADE_SHARES, draw_dataset, graded_eyes
from fovea.demo.lesions import Lesion
from fovea.demo.photograph import draw_camera, draw_photograph, field_of_view

SEED = 6
KEYS = [f"{patient:04d}_{side}" for patient in range(1, 6) for side in ("left", "right")]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shape_of(drawn: Path, image: str) -> tuple[int, int]:
    pixels = cv2.imread(str(drawn / "images" / f"{image}.jpeg"))
    assert pixels is not None
    return pixels.shape[0], pixels.shape[1]


def lesions_of(key: str, grade: int) -> list[Lesion]:
    return draw_photograph(key, grade, 64, SEED)[1]


def quadrants(key: str, lesions: list[Lesion], kind: str) -> Counter[tuple[bool, bool]]:
    """How many lesions of a kind are in each quadrant of a 64-pixel image's field."""
    x, y, _ = field_of_view(draw_camera(key, SEED), 64)
    return Counter((lesion.x > x, lesion.y > y) for lesion in lesions if lesion.kind == kind)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "demo"
    draw_dataset(folder, patients=4, seed=SEED, min_size=60, max_size=120, workers=1)
    return folder


def test_the_files_are_the_same_for_one_worker_and_two(drawn: Path, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "demo", patients=4, seed=SEED, min_size=60, max_size=120, workers=2)
    assert contents(tmp_path / "demo") == contents(drawn)


def test_another_seed_draws_other_images() -> None:
    first, second = (draw_photograph("0001_left", 2, 64, seed)[0] for seed in (1, 2))
    assert first.shape != second.shape or (first != second).any()


def test_more_patients_leave_the_images_of_the_others_alone(drawn: Path, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "demo", patients=2, seed=SEED, min_size=60, max_size=120, workers=1, faults=False)
    images = contents(tmp_path / "demo" / "images")
    assert len(images) == 4
    assert images.items() <= contents(drawn / "images").items()


@pytest.mark.parametrize("key", KEYS[:4])
def test_the_grade_changes_nothing_but_the_lesions(key: str) -> None:
    """Away from the lesions the photographs of grade 0 and grade 4 are the same, pixel by pixel."""
    healthy, _ = draw_photograph(key, 0, 300, SEED)
    ill, lesions = draw_photograph(key, 4, 300, SEED)
    assert healthy.shape == ill.shape
    y, x = np.mgrid[: ill.shape[0], : ill.shape[1]]
    beside = np.ones(ill.shape[:2], bool)
    for lesion in lesions:
        beside &= np.hypot(x - lesion.x, y - lesion.y) > lesion.radius + 12  # 12: the soft edge
    assert beside.mean() > 0.2
    assert np.array_equal(healthy[beside], ill[beside])


def test_size_and_quality_do_not_go_with_the_grade() -> None:
    """Over many patients, no acquisition fact correlates with the grade more than chance allows."""
    grades = graded_eyes(500, SEED)
    cameras = [draw_camera(key, SEED) for key in grades]
    for fact in ("aspect", "field", "size_share", "quality", "falloff", "haze", "defocus", "noise"):
        correlation = np.corrcoef(list(grades.values()), [getattr(camera, fact) for camera in cameras])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(len(grades)), fact


def test_each_image_has_the_size_and_quality_of_its_camera(drawn: Path) -> None:
    for image in KEYS[:8]:
        height, width = shape_of(drawn, image)
        camera = draw_camera(image, SEED)
        assert width == 60 + round(camera.size_share * 60)
        assert height == round(width / camera.aspect)


@pytest.mark.parametrize("grade", [1, 2, 3, 4])
def test_each_lesion_is_where_the_table_says(grade: int) -> None:
    """Inside its radius the photograph differs from the same eye without lesions."""
    for key in KEYS[:2]:
        healthy, _ = draw_photograph(key, 0, 500, SEED)
        ill, lesions = draw_photograph(key, grade, 500, SEED)
        changed = np.abs(ill.astype(int) - healthy).max(axis=2)
        x, y, radius = field_of_view(draw_camera(key, SEED), 500)
        for lesion in lesions:
            assert np.hypot(lesion.x - x, lesion.y - y) < radius
            reach = max(lesion.radius, 1)
            rows = slice(round(lesion.y - reach), round(lesion.y + reach) + 1)
            columns = slice(round(lesion.x - reach), round(lesion.x + reach) + 1)
            assert changed[rows, columns].max() > 10, lesion


def test_the_table_of_lesions_is_that_of_the_images(drawn: Path) -> None:
    rows = table(drawn / "lesions.csv")
    level = {row["image"]: int(row["level"]) for row in table(drawn / "labels.csv")}
    for image in KEYS[:8]:
        size = shape_of(drawn, image)[1]
        expected = [(lesion.kind, round(lesion.x, 1)) for lesion in draw_photograph(image, level[image], size, SEED)[1]]
        assert [(row["lesion"], float(row["x"])) for row in rows if row["image"] == image] == expected


@pytest.mark.parametrize("key", KEYS)
def test_grade_0_has_no_lesion(key: str) -> None:
    assert lesions_of(key, 0) == []


@pytest.mark.parametrize("key", KEYS)
def test_grade_1_has_microaneurysms_only(key: str) -> None:
    assert {lesion.kind for lesion in lesions_of(key, 1)} == {"microaneurysm"}


@pytest.mark.parametrize("key", KEYS)
def test_grade_2_is_between_mild_and_severe(key: str) -> None:
    lesions = lesions_of(key, 2)
    kinds = {lesion.kind for lesion in lesions}
    assert kinds > {"microaneurysm"}
    assert kinds <= {"microaneurysm", "haemorrhage", "hard_exudates", "cotton_wool_spot"}
    assert max(quadrants(key, lesions, "haemorrhage").values()) <= 20


@pytest.mark.parametrize("key", KEYS)
def test_grade_3_meets_the_4_2_1_rule_and_has_no_new_vessels(key: str) -> None:
    lesions = lesions_of(key, 3)
    haemorrhages = quadrants(key, lesions, "haemorrhage")
    assert (
        (len(haemorrhages) == 4 and min(haemorrhages.values()) > 20)
        or len(quadrants(key, lesions, "venous_beading")) >= 2
        or "irma" in {lesion.kind for lesion in lesions}
    )
    assert not {"new_vessels", "preretinal_haemorrhage"} & {lesion.kind for lesion in lesions}


@pytest.mark.parametrize("key", KEYS)
def test_grade_4_has_new_vessels(key: str) -> None:
    assert "new_vessels" in {lesion.kind for lesion in lesions_of(key, 4)}


def test_the_classes_are_unequal_as_said() -> None:
    counts = Counter(graded_eyes(1500, SEED).values())
    assert [counts[grade] / 3000 for grade in range(5)] == pytest.approx(GRADE_SHARES, abs=0.03)


def test_the_eyes_of_a_patient_are_alike_but_not_always_equal() -> None:
    grades = list(graded_eyes(500, SEED).values())
    equal = np.mean([left == right for left, right in zip(grades[::2], grades[1::2], strict=True)])
    assert 0.6 < equal < 0.85  # by chance 0.24


def test_the_disc_is_on_the_nasal_side() -> None:
    """A left eye has the disc, the brightest place, left of the centre, and a right eye right of it."""
    for key in KEYS:
        photograph, _ = draw_photograph(key, 0, 300, SEED)
        brightness = cv2.GaussianBlur(photograph[..., 1], (0, 0), 5)  # green: the disc stands out most
        column = int(brightness.max(axis=0).argmax())
        assert (column < photograph.shape[1] / 2) == key.endswith("left")


@pytest.mark.parametrize("size", [28, 33, 1000])
def test_any_size_can_be_drawn(size: int) -> None:
    photograph, _ = draw_photograph("0001_left", 4, size, SEED)
    assert photograph.shape[1] == size
    assert photograph.dtype == np.uint8


def test_outside_of_the_field_of_view_it_is_black() -> None:
    photograph, _ = draw_photograph("0001_left", 3, 300, SEED)
    x, y, radius = field_of_view(draw_camera("0001_left", SEED), 300)
    row, column = np.mgrid[: photograph.shape[0], : photograph.shape[1]]
    distance = np.hypot(column + 0.5 - x, row + 0.5 - y)
    assert photograph[distance > 1.02 * radius].mean() < 5
    assert photograph[distance < 0.5 * radius].mean() > 50


def test_the_planted_faults_are_as_the_readme_says(drawn: Path) -> None:
    readme = (drawn / "README.txt").read_text(encoding="utf-8")
    said = dict(line.removeprefix("images/").split(".jpeg: ", 1) for line in readme.splitlines() if ".jpeg: " in line)
    files = {name.removesuffix(".jpeg"): content for name, content in contents(drawn / "images").items()}
    level = {row["image"]: row["level"] for row in table(drawn / "labels.csv")}
    truncated, empty, text, twin, rival, missing = said

    assert files[truncated][:2] == b"\xff\xd8" and files[truncated][-2:] != b"\xff\xd9"
    assert files[empty] == b""
    assert files[text].decode().isprintable() or files[text].endswith(b"\n")
    assert files[twin] == files["0001_left"] and level[twin] == level["0001_left"]
    assert files[rival] == files["0004_right"] and level[rival] != level["0004_right"]
    assert missing not in files and missing in level
    assert set(level) == set(files) | {missing}
    assert set(level) - set(KEYS[:8]) == set(said)


def test_without_faults_every_file_can_be_read(tmp_path: Path) -> None:
    draw_dataset(tmp_path / "demo", patients=1, seed=SEED, min_size=60, max_size=60, workers=1, faults=False)
    assert [row["image"] for row in table(tmp_path / "demo" / "labels.csv")] == ["0001_left", "0001_right"]
    assert sorted(contents(tmp_path / "demo" / "images")) == ["0001_left.jpeg", "0001_right.jpeg"]


def test_an_existing_folder_is_left_alone(drawn: Path) -> None:
    before = contents(drawn)
    with pytest.raises(FileExistsError, match="delete it"):
        draw_dataset(drawn, patients=1, seed=SEED, min_size=60, max_size=60, workers=1)
    assert contents(drawn) == before
