"""A whole image set: patients with two eyes, their grades, the tables, and a few planted faults."""

import csv
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import NormalDist

import cv2
import numpy as np

from fovea.demo.photograph import Camera, draw_camera, draw_photograph, encode_jpeg, field_of_view
from fovea.progress import track
from fovea.seeds import generator

GRADE_SHARES = (0.36, 0.14, 0.24, 0.13, 0.13)
EYES_CORRELATION = 0.95  # of the severity behind the grades: about seven pairs in ten then have equal grades
README = """\
Fundus-like photographs, drawn by Fovea. They are SYNTHETIC: no patient, no eye, no camera.

How: numpy and OpenCV draw an eye (pigment, optic disc, fovea, vessels), the lesions of its grade, and a camera (size,
frame, light, tint, focus, noise, JPEG quality) from three independent random streams. Only the lesions depend on the
grade. Sizes and contrasts of lesions are generous. Not for any clinical use.

images/<patient>_<left|right>.jpeg
labels.csv    image (file name without .jpeg), level (0-4, by the kinds and numbers of lesions after the ICDR scale)
lesions.csv   image, lesion (its kind), x, y, radius (pixels of that image, from its top left corner)
fields.csv    image, x, y, radius: the round field of view, likewise; it may reach over the frame

Drawn: {patients} patients, {images} images, seed {seed}, longer side {min_size} to {max_size} pixels.
"""

Row = tuple[str | int | float, ...]


@dataclass(frozen=True)
class Fault:
    """A file that is wrong on purpose; `content` None: its label has no file."""

    image: str
    level: int
    content: bytes | None
    what: str
    copy_of: str | None = None


def patient_grades(patient: str, seed: int) -> tuple[int, int]:
    """The grades of the left and the right eye: alike, not always equal, with GRADE_SHARES over many patients."""
    rng = generator(seed, patient, "grades")
    common, *own = rng.standard_normal(3)
    both = [np.sqrt(EYES_CORRELATION) * common + np.sqrt(1 - EYES_CORRELATION) * eye for eye in own]
    limits = [NormalDist().inv_cdf(share) for share in np.cumsum(GRADE_SHARES)[:-1].tolist()]
    left, right = np.searchsorted(limits, both).tolist()
    return left, right


def graded_eyes(patients: int, seed: int) -> dict[str, int]:
    """Image name to grade, for patients 0001, 0002, ...: more patients add to the set and leave the others alone."""
    grades = {}
    for patient in (f"{number:04d}" for number in range(1, patients + 1)):
        grades[f"{patient}_left"], grades[f"{patient}_right"] = patient_grades(patient, seed)
    return grades


def side_of(camera: Camera, min_size: int, max_size: int) -> int:
    """Longer side in px of a camera's images."""
    return min_size + round(camera.size_share * (max_size - min_size))


def field_row(key: str, seed: int, min_size: int, max_size: int) -> Row:
    """The row of fields.csv of one image."""
    camera = draw_camera(key, seed)
    return (key, *(round(value, 1) for value in field_of_view(camera, side_of(camera, min_size, max_size))))


def draw_file(key: str, grade: int, seed: int, min_size: int, max_size: int) -> tuple[bytes, list[Row]]:
    """The JPEG file of one image and its rows of lesions.csv."""
    camera = draw_camera(key, seed)
    photograph, lesions = draw_photograph(key, grade, side_of(camera, min_size, max_size), seed)
    rows: list[Row] = [(key, lesion.kind, round(lesion.x, 1), round(lesion.y, 1), round(lesion.radius, 1))
                       for lesion in lesions]
    return encode_jpeg(photograph, camera.quality), rows


def write_image(eye: tuple[str, int], folder: Path, seed: int, min_size: int, max_size: int) -> list[Row]:
    """Draw and write one image; returns its rows of lesions.csv."""
    cv2.setNumThreads(1)  # the processes share out the cores
    content, rows = draw_file(*eye, seed, min_size, max_size)
    (folder / f"{eye[0]}.jpeg").write_bytes(content)
    return rows


def plant_faults(folder: Path, grades: dict[str, int], seed: int, min_size: int, max_size: int) -> list[Fault]:
    """One fault of each kind, under the names of further patients."""
    patients = len(grades) // 2
    names = [f"{patients + 1 + number:04d}_{side}" for number, side in enumerate(["left", "right"] * 3)]
    level = {name: patient_grades(name.partition("_")[0], seed)[0] for name in names}
    whole, _ = draw_file(names[0], level[names[0]], seed, min_size, max_size)
    twin, rival = next(iter(grades)), list(grades)[-1]
    faults = [
        Fault(names[0], level[names[0]], whole[: len(whole) // 2], "truncated: the second half of the file is missing"),
        Fault(names[1], level[names[1]], b"", "empty file"),
        Fault(names[2], level[names[2]], b"This is a text, not a photograph.\n", "a text file named .jpeg"),
        Fault(names[3], grades[twin], (folder / f"{twin}.jpeg").read_bytes(),
              f"exact duplicate of {twin}.jpeg, same grade", copy_of=twin),
        Fault(names[4], (grades[rival] + 2) % 5, (folder / f"{rival}.jpeg").read_bytes(),
              f"exact duplicate of {rival}.jpeg, with a conflicting grade", copy_of=rival),
        Fault(names[5], level[names[5]], None, "a label without a file"),
    ]
    for fault in faults:
        if fault.content is not None:
            (folder / f"{fault.image}.jpeg").write_bytes(fault.content)
    return faults


def write_table(path: Path, header: Row, rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def draw_images(folder: Path, grades: dict[str, int], seed: int, min_size: int, max_size: int,
                workers: int) -> dict[str, list[Row]]:
    """Draw every image into the folder; returns the rows of lesions.csv of each."""
    draw = partial(write_image, folder=folder, seed=seed, min_size=min_size, max_size=max_size)
    if workers <= 1:
        return dict(zip(grades, track(map(draw, grades.items()), "drawing", len(grades)), strict=True))
    # Processes: a third of the time is Python, which threads would not share. Spawned: a fork copies OpenCV's threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = pool.map(draw, grades.items(), chunksize=4)
        return dict(zip(grades, track(drawn, "drawing", len(grades)), strict=True))


def draw_dataset(folder: Path, patients: int, seed: int, min_size: int, max_size: int, workers: int,
                 faults: bool = True) -> None:
    """Draw a set of `patients` patients into a new folder: images/, labels.csv, lesions.csv, fields.csv, README.txt.

    The longer side of an image has `min_size` to `max_size` pixels. The files are the same for any number of
    `workers` (processes). `faults` plants one fault of each kind, listed in README.txt.
    """
    if folder.exists():
        raise FileExistsError(f"{folder}: exists already; delete it, or name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        drawn = Path(scratch) / folder.name
        (drawn / "images").mkdir(parents=True)
        grades = graded_eyes(patients, seed)
        lesions = draw_images(drawn / "images", grades, seed, min_size, max_size, workers)
        fields = {key: field_row(key, seed, min_size, max_size) for key in grades}
        readme = README.format(patients=patients, images=len(grades), seed=seed, min_size=min_size, max_size=max_size)
        if faults:
            planted = plant_faults(drawn / "images", grades, seed, min_size, max_size)
            readme += "\nFaults planted on purpose, beside those images:\n"
            readme += "".join(f"images/{fault.image}.jpeg: {fault.what}\n" for fault in planted)
            grades |= {fault.image: fault.level for fault in planted}
            copies = {fault.image: fault.copy_of for fault in planted if fault.copy_of is not None}
            lesions |= {name: [(name, *row[1:]) for row in lesions[of]] for name, of in copies.items()}
            fields |= {name: (name, *fields[of][1:]) for name, of in copies.items()}
        write_table(drawn / "labels.csv", ("image", "level"), grades.items())
        write_table(drawn / "lesions.csv", ("image", "lesion", "x", "y", "radius"),
                    (row for rows in lesions.values() for row in rows))
        write_table(drawn / "fields.csv", ("image", "x", "y", "radius"), fields.values())
        (drawn / "README.txt").write_text(readme, encoding="utf-8")
        shutil.move(drawn, folder)
