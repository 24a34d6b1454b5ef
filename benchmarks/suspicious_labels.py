"""How many labels flipped on purpose are found first: confident learning beside ranking by the label's probability.

    FOVEA_REAL_DATA=<folder of the sets> python -m benchmarks.suspicious_labels <SqueezeNet 1.1 state dict>

Out-of-sample probabilities by five-fold cross-validation of a logistic regression on ImageNet features, of the labels
after flipping: each image that is flipped gets one of the other classes by chance. Labels that were wrong before count
as right, so that the true precision is a little higher. Where confident learning names fewer than k images, the rest
count as misses.

Printed on a virtual machine with 2 cores of an AMD EPYC, other programs running beside it; 100 s of one core:

    precision at k, mean (lowest to highest) of n = 3 seeds; chance is the share flipped
    palm: 800 images, 2 classes; published labels predicted with accuracy 0.978
      5% flipped           k =  40, all flipped  all that are named  k = 10              k = 20
      confident learning   0.72 (0.70 to 0.75) 0.99 (0.97 to 1.00) 1.00 (1.00 to 1.00) 1.00 (1.00 to 1.00)
      label's probability  0.92 (0.90 to 0.93) 1.00 (1.00 to 1.00) 1.00 (1.00 to 1.00) 1.00 (1.00 to 1.00)
      10% flipped           k =  80, all flipped  all that are named  k = 10              k = 20
      confident learning   0.78 (0.66 to 0.86) 0.98 (0.97 to 1.00) 1.00 (1.00 to 1.00) 1.00 (1.00 to 1.00)
      label's probability  0.92 (0.89 to 0.95) 0.97 (0.97 to 0.98) 1.00 (1.00 to 1.00) 1.00 (1.00 to 1.00)
    aptos2019: 3662 images, 5 classes; published labels predicted with accuracy 0.779
      5% flipped           k = 183, all flipped  all that are named  k = 10              k = 20
      confident learning   0.51 (0.48 to 0.54) 0.17 (0.17 to 0.17) 0.83 (0.80 to 0.90) 0.87 (0.80 to 0.90)
      label's probability  0.58 (0.58 to 0.58) 0.20 (0.20 to 0.20) 0.83 (0.70 to 1.00) 0.82 (0.75 to 0.85)
      10% flipped           k = 366, all flipped  all that are named  k = 10              k = 20
      confident learning   0.54 (0.52 to 0.55) 0.28 (0.27 to 0.30) 0.77 (0.70 to 0.90) 0.75 (0.65 to 0.80)
      label's probability  0.63 (0.61 to 0.65) 0.34 (0.33 to 0.34) 0.77 (0.70 to 0.90) 0.72 (0.70 to 0.75)

What is named first is mostly right on both. On a set that is easy to learn confident learning names hardly anything but
wrong labels, and misses a quarter of them; on one that is not, most of what it names is the model's own mistakes.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import simplejpeg
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.models import squeezenet1_1

from fovea.evaluation.suspicious import suspicious_labels
from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams
from fovea.params.section import read_sections
from tests.real_sets import FOLDER, REAL_SETS

SETS = ("palm", "aptos2019")
SHARES = (0.05, 0.10)
SEEDS = 3
SIDE = 160  # px; the features of 224 px cost twice the time
BGR_MEAN = np.array([104, 117, 123], np.float32)  # of the weights' own training


def manifest_of(name: str) -> tuple[pd.DataFrame, Path]:
    assert FOLDER is not None
    dataset = read_sections()["dataset"]
    dataset |= {key[8:]: value for key, value in REAL_SETS[name].items() if key.startswith("dataset.")}
    folder = Path(FOLDER) / name
    with tempfile.TemporaryDirectory() as store:
        return build_manifest(folder, DatasetParams.model_validate(dataset), 10**8, 1, Path(store))[0], folder


@torch.inference_mode()
def features_of(images: pd.Series, folder: Path, weights: Path) -> np.ndarray:
    """float32 (n, 512): SqueezeNet's last feature map, averaged over its places."""
    network = squeezenet1_1().eval()
    network.load_state_dict(torch.load(weights, weights_only=True), strict=False)  # it has no classifier
    found = []
    for image in images:
        pixels = simplejpeg.decode_jpeg((folder / image).read_bytes(), colorspace="BGR")
        small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) - BGR_MEAN
        found.append(network.features(torch.from_numpy(small).permute(2, 0, 1)[None]).mean(dim=(2, 3))[0].numpy())
    return np.stack(found)


def flip(targets: np.ndarray, classes: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels after flipping, and which ones were flipped, both (n,)."""
    rng = np.random.default_rng(seed)
    flipped = np.zeros(len(targets), bool)
    flipped[rng.choice(len(targets), round(share * len(targets)), replace=False)] = True
    return np.where(flipped, (targets + rng.integers(1, classes, len(targets))) % classes, targets), flipped


def cross_validated(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """float64 (n, classes): probabilities of models that have not seen the image."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(model, features, labels, cv=folds, method="predict_proba"))


def precisions(chances: np.ndarray, labels: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """float64 (2, 4): of confident learning and of the label's probability, at k = flipped, found, 10 and 20.

    `found` is how many confident learning names, so that no miss counts there.
    """
    classes = [str(number) for number in range(chances.shape[1])]
    table = pd.DataFrame(chances, columns=[f"p_{name}" for name in classes]).assign(
        image=np.arange(len(labels)), split="test", label=labels.astype(str))
    ours = suspicious_labels(table, classes)["image"].to_numpy(int)
    plain = np.argsort(chances[np.arange(len(labels)), labels], kind="stable")
    ks = (int(flipped.sum()), len(ours), 10, 20)
    return np.array([[flipped[ranked[:k]].sum() / k for k in ks] for ranked in (ours, plain)])


def main() -> None:
    if FOLDER is None or len(sys.argv) != 2:
        sys.exit("set FOVEA_REAL_DATA to the folder of the real image sets, and name a state dict of SqueezeNet 1.1")
    print(f"precision at k, mean (lowest to highest) of n = {SEEDS} seeds; chance is the share flipped")
    for name in SETS:
        manifest, folder = manifest_of(name)
        features, targets = features_of(manifest["image"], folder, Path(sys.argv[1])), manifest["target"].to_numpy(int)
        classes = len(manifest.attrs["classes"])
        right = (cross_validated(features, targets, 0).argmax(axis=1) == targets).mean()
        print(f"{name}: {len(targets)} images, {classes} classes; published labels predicted with accuracy {right:.3f}")
        for share in SHARES:
            print(f"  {share:.0%} flipped           k = {round(share * len(targets)):3}, all flipped  "
                  "all that are named  k = 10              k = 20")
            found = []
            for seed in range(SEEDS):
                labels, flipped = flip(targets, classes, share, seed)
                found.append(precisions(cross_validated(features, labels, seed), labels, flipped))
            for row, ranking in enumerate(("confident learning", "label's probability")):
                cells = [f"{np.mean(cell):.2f} ({np.min(cell):.2f} to {np.max(cell):.2f})"
                         for cell in np.array(found)[:, row].T]
                print(f"  {ranking:<20} " + " ".join(cells), flush=True)


if __name__ == "__main__":
    main()
