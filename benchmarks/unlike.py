"""How many images of other kinds are flagged as unlike the training images, and how many of the same kind are.

    FOVEA_REAL_DATA=<folder of the sets> python -m benchmarks.unlike [SET ...] [key=value ...]

Each set is trained for a few epochs; its test images are of the same kind, the others are: images of the other sets
through the same preprocessing, and its own test images blurred, dark, half covered and as noise. Beside
it stand its two parts, of features and of 8 x 8 pixels, and the usual score, the highest probability (Hendrycks and
Gimpel, ICLR 2017), below what all but one in a hundred validation images have.

Printed on 2 cores of a virtual machine; one training of each set:

  share of images that are flagged
    trained on palm
                   kind   n  flagged  features  pixels  probability
        palm, test part 400     0.07      0.04    0.06         0.01
                blurred  60     0.08      0.03    0.07         0.00
      a fifth as bright  60     1.00      1.00    0.98         0.00
           half covered  60     1.00      0.68    1.00         0.03
                  noise  60     1.00      1.00    1.00         0.00
              aptos2019  60     0.77      0.72    0.57         0.03
                skin200  60     1.00      0.98    1.00         0.07
    trained on aptos2019
                      kind   n  flagged  features  pixels  probability
      aptos2019, test part 733     0.01      0.01    0.00         0.01
                   blurred  60     0.03      0.03    0.00         0.02
         a fifth as bright  60     0.65      0.65    0.00         0.00
              half covered  60     0.97      0.50    0.75         0.32
                     noise  60     1.00      1.00    1.00         0.00
                      palm  60     0.00      0.00    0.00         0.35
                   skin200  60     1.00      0.98    1.00         0.00
    trained on skin200
                    kind  n  flagged  features  pixels  probability
      skin200, test part 40     0.00      0.00    0.00         0.00
                 blurred 40     0.00      0.00    0.00         0.05
       a fifth as bright 40     1.00      0.00    1.00         0.00
            half covered 40     1.00      0.00    1.00         0.00
                   noise 40     1.00      1.00    0.00         1.00
                    palm 60     1.00      0.00    1.00         0.00
               aptos2019 60     1.00      0.00    1.00         0.00

Of the test part of palm 7 % are flagged: the set gives it, and validation is drawn from the other one. Blurred
images are not found. A model of aptos2019 takes palm for its own kind: both are fundus photographs.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from benchmarks.real_training import CPU, Built, Fitted, asked, build, fit, sections
from fovea.cache.picture import make_square
from fovea.classifier.classifier import Squares
from fovea.evaluation.predict import chances
from fovea.evaluation.unlike import FLAGGED, kept_features, make_reference, nearest, of_unit_length, shrunk
from fovea.params.augment import SquareParams
from fovea.training.data import make_rows
from tests.real_sets import FOLDER

SETS = ("palm", "aptos2019", "skin200")
SETTINGS = {"augment.image_size": 96, "train.model": "resnet18", "train.full.epochs": 5, "train.batch_size": 32}
OTHERS = 60  # images of each other kind


def photographs(name: str, square: SquareParams) -> np.ndarray:
    """Squares uint8 (n, s, s, 3) of every k-th image of a set."""
    paths = sorted(path for path in (Path(FOLDER or "") / name).rglob("*.jp*g"))
    chosen = paths[:: max(1, len(paths) // OTHERS)][:OTHERS]
    return np.stack([make_square(path.read_bytes(), square)[0] for path in chosen])


def spoilt(squares: np.ndarray) -> dict[str, np.ndarray]:
    """The same images in ways that no photograph of the set is."""
    side = squares.shape[1]
    covered = squares.copy()
    covered[:, :, : side // 2] = 0
    noise = np.random.default_rng(0).integers(0, 256, squares.shape, dtype=np.uint8)
    blurred = np.stack([cv2.GaussianBlur(square, (0, 0), side / 20) for square in squares])
    return {"blurred": blurred, "a fifth as bright": (squares * 0.2).astype(np.uint8), "half covered": covered,
            "noise": noise}


def looked_at(fitted: Fitted, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, f) of unit length, and probabilities (n, classes)."""
    cache: Any = Squares(squares)
    rows = make_rows(cache, np.ones(len(squares), bool), fitted.record["crop"], fitted.record["scaling"], CPU)
    with kept_features(fitted.model) as kept:
        found = chances(fitted.model, fitted.record, rows, 1)
    return of_unit_length(kept), found


def part(built: Built, name: str) -> np.ndarray:
    index = built.cache.index
    return built.cache.take(np.flatnonzero((index["split"] == name) & (index["variant"] == 0)))


def rates(built: Built, fitted: Fitted, square: SquareParams, name: str) -> pd.DataFrame:
    """Share that is flagged, for each kind of image and each score."""
    reference = make_reference(fitted.model, fitted.record, built.cache, CPU)
    assert reference.limits is not None
    sure = np.quantile(looked_at(fitted, part(built, "val"))[1].max(axis=1), 2 * FLAGGED)
    test = part(built, "test")
    kinds = {f"{name}, test part": test, **spoilt(test[:OTHERS]),
             **{other: photographs(other, square) for other in SETS if other != name}}
    rows = []
    for kind, squares in kinds.items():
        features, probabilities = looked_at(fitted, squares)
        pixels = shrunk(squares)
        rows.append({"kind": kind, "n": len(squares),
                     "flagged": (reference.distances(features, pixels) > 1).mean(),
                     "features": (nearest(reference.features, features) > reference.limits[0]).mean(),
                     "pixels": (nearest(reference.pixels, pixels) > reference.limits[1]).mean(),
                     "probability": (probabilities.max(axis=1) < sure).mean()})
    return pd.DataFrame(rows)


def main() -> None:
    names, changes = asked(sys.argv[1:], SETS)
    print("share of images that are flagged")
    for name in names:
        params = sections(name, {**SETTINGS, **changes})
        with tempfile.TemporaryDirectory() as folder:
            built = build(name, params, Path(folder))
            square = SquareParams(**built.cache.attrs["square"])
            print(f"  trained on {name}", flush=True)
            found = rates(built, fit(built.cache, params["train"]), square, name)
        lines = found.to_string(index=False, float_format="%.2f").splitlines()
        print("\n".join(f"    {line}" for line in lines), flush=True)


if __name__ == "__main__":
    main()
