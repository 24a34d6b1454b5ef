"""Small image sets, one for each recipe and one of arrays, laid out as the published ones.

Every class has a colour of its own, so that a few epochs are enough to learn it; noise makes each image unique.
"""

from pathlib import Path

import numpy as np
import openpyxl
from PIL import Image

COLOURS = [(70, 40, 30), (200, 60, 40), (60, 170, 70), (60, 80, 200), (210, 190, 60)]


def write_fundus_lesions(folder: Path, per_class: int = 12) -> None:
    """One folder per class."""
    draws = np.random.default_rng(1)
    for target, name in enumerate(("exudates", "haemorrhages", "normal")):
        for number in range(per_class):
            _save(folder / name / f"{name}_{number:03d}.jpg", _picture(draws, target))


def write_eyes(folder: Path, patients: range) -> None:
    """One folder per class with both eyes of so many patients each, counted from 100, 200 and 300. Each picture depends
    on its name alone."""
    for target, name in enumerate(("exudates", "haemorrhages", "normal")):
        for number in patients:
            for eye in ("left", "right"):
                path = folder / f"{name}/{100 * (target + 1) + number}_{eye}.jpg"
                _save(path, _picture(np.random.default_rng(list(path.name.encode())), target))


def write_retinopathy(folder: Path, per_class: int = 12, test_per_class: int = 4) -> None:
    """Five grades, both eyes of each patient; the test part is given. Names and labels in header-less lists."""
    draws = np.random.default_rng(2)
    patient = 0
    for part, count in (("train", per_class), ("test", test_per_class)):
        names, labels = [], []
        for grade in range(5):
            for number in range(count):
                patient += number % 2 == 0
                names.append(f"{patient}_{'left' if number % 2 == 0 else 'right'}")
                labels.append(str(grade))
                _save(folder / "images" / f"{names[-1]}.jpeg", _picture(draws, grade))
        _write_lines(folder / f"{part}_img.csv", names)
        _write_lines(folder / f"{part}_label.csv", labels)


def write_skin(folder: Path, per_class: int = 12) -> None:
    """Header-less lists of name,label for the three parts, the last line of each without a newline."""
    draws = np.random.default_rng(3)
    number = 0
    for part, count in (("train", per_class), ("val", per_class // 3), ("test", per_class // 3)):
        lines = []
        for label in [0, 1] * count:
            number += 1
            name = f"ISIC_{number:07d}.jpg"
            _save(folder / "images" / name, _picture(draws, label, size=(100, 75)))
            lines.append(f"{name},{label}")
        _write_lines(folder / "labels" / f"{part}.txt", lines, last_newline=False)


def write_myopia(folder: Path, per_class: int = 12, xlsx: bool = False) -> None:
    """First letter of the name in training (P against H and N), a table for validation: labels.csv, or XLSX."""
    draws = np.random.default_rng(4)
    for number in range(1, per_class + 1):
        _save(folder / "PALM-Training400" / f"P{number:04d}.jpg", _picture(draws, 1))
        _save(folder / "PALM-Training400" / f"{'HN'[number % 2]}{number:04d}.jpg", _picture(draws, 0))
    rows: list[list[str | int | float]] = [["ID", "imgName", "Label", "Fovea_X", "Fovea_Y"]]
    for number in range(1, per_class + 1):
        rows.append([number, f"V{number:04d}.jpg", number % 2, 31.5, 30.25])
        _save(folder / "PALM-Validation400" / f"V{number:04d}.jpg", _picture(draws, number % 2))
    if xlsx:
        book = openpyxl.Workbook()
        for row in rows:
            book.worksheets[0].append(row)
        book.save(folder / "PM_Label_and_Fovea_Location.xlsx")
    else:
        _write_lines(folder / "labels.csv", [",".join(map(str, row)) for row in rows])


def write_arrays(folder: Path, per_class: int = 12) -> None:
    """arrays.npz with five classes at 28 px, as MedMNIST has them: <part>_images and <part>_labels (n, 1)."""
    draws = np.random.default_rng(5)
    members = {}
    for part, count in (("train", per_class), ("val", per_class // 3), ("test", per_class // 3)):
        labels = np.arange(5 * count) % 5
        members[f"{part}_images"] = np.stack([_picture(draws, int(label), (28, 28)) for label in labels])
        members[f"{part}_labels"] = labels[:, None].astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **members)


def _picture(draws: np.random.Generator, target: int, size: tuple[int, int] = (72, 64)) -> np.ndarray:
    """(height, width, 3) uint8 of `size` (width, height): a disc in the colour of class `target` on black."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    disc = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) < 0.48 * min(size)
    noise = draws.normal(0, 15, (height, width, 3)) + draws.normal(0, 8, 3)
    return np.where(disc[..., None], np.clip(np.array(COLOURS[target]) + noise, 0, 255), 0).astype(np.uint8)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=92)


def _write_lines(path: Path, lines: list[str], last_newline: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n" * last_newline, encoding="utf-8")
