"""How often shortcuts are reported where there are none, how strong one must be to be found, and what it costs.

    FOVEA_REAL_DATA=<folder of the real sets> python -m benchmarks.shortcuts

"""

import time

import numpy as np

from fovea.audit.auroc import interval
from fovea.audit.shortcuts import shortcuts
from tests.audit_sets import Table, generated, real_table, table_of

SHUFFLES = 200


def shuffled(table: Table, rng: np.random.Generator) -> Table:
    """The labels of the training part dealt out anew among units with equally many images."""
    manifest, part, units = table
    target, shuffled = manifest["target"].to_numpy(), manifest["target"].to_numpy().copy()
    rows = np.flatnonzero(part == "train")
    _, unit, sizes = np.unique(units[rows].astype(str), return_inverse=True, return_counts=True)
    for size in np.unique(sizes):
        same = rows[np.isin(unit, np.flatnonzero(sizes == size))]
        images = same[np.argsort(units[same].astype(str), kind="stable")].reshape(-1, size)
        shuffled[images] = target[images[rng.permutation(len(images))]]
    fresh = manifest.assign(target=shuffled)
    fresh.attrs = manifest.attrs
    return fresh, part, units


def false_flags(name: str, table: Table, shuffles: int = SHUFFLES) -> None:
    rng = np.random.default_rng(0)
    runs = [shortcuts(*shuffled(table, rng)) for _ in range(shuffles)]
    found = [one for run in runs for one in run]
    flagged = sum(any(one["flagged"] for one in run) for run in runs)
    outside = np.mean([not one["low"] <= 0.5 <= one["high"] for one in found])
    print(f"{name:26s} {len(runs[0]):2d} features, {shuffles} shuffles: {flagged} with a flag; AUROC "
          f"{np.mean([one['auroc'] for one in found]):.3f} on average, highest lower limit "
          f"{max(one['low'] for one in found):.2f}, 95 % interval without 0.5: {100 * outside:.1f} %")


def power(images: int, share: float, repeats: int = 50) -> None:
    """Of a feature with two values that agrees with the label of two classes in `share` of the images."""
    found = []
    for seed in range(repeats):
        manifest, rng = generated(images, seed=seed), np.random.default_rng(seed)
        agrees = rng.random(images) < share
        manifest["camera"] = np.where((manifest["target"] == 1) == agrees, "Canon", "Topcon")
        found.append(any(one["flagged"] for one in shortcuts(*table_of(manifest)) if one["feature"] == "camera"))
    print(f"camera of AUROC {share:.2f}, {images} images: warned of in {sum(found)} of {repeats} sets")


if __name__ == "__main__":
    for name in ("skin200", "palm", "aptos2019"):
        false_flags(name, real_table(name))
    false_flags("generated, 60, 3 classes", table_of(generated(60, classes=3)))
    false_flags("generated, 300, 2 classes", table_of(generated(300)))
    false_flags("generated, 600 in groups", table_of(generated(600, classes=5, groups=250)))
    for images in (100, 300, 1000, 3000):
        for share in (0.65, 0.70, 0.80, 0.90):
            power(images, share)
    for classes in (2, 5, 25):
        table = table_of(generated(35_000, classes=classes, groups=17_000))
        start = time.perf_counter()
        shortcuts(*table)
        print(f"35,000 rows of {classes} classes: {time.perf_counter() - start:.2f} s")
    print(f"AUROC 1.00 of 64 and 64 images: lower limit {interval(1.0, 64, 64, 0.95)[0]:.2f}")
