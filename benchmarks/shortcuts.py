"""How often shortcuts are reported where there are none, how strong one must be to be found, and what it costs.

    FOVEA_REAL_DATA=<folder of the real sets> python -m benchmarks.shortcuts

Printed last, on one core. A warning on shuffled labels is one too many; of more than two classes the one told best is
taken, so that shuffled labels give more than 0.5:

    skin200                    6 features, 200 shuffles: 0 warned of; mean AUROC 0.491,
                               highest lower limit 0.56, 95 % intervals that miss 0.5: 4.3 %
    palm                       2 features, 200 shuffles: 0 warned of; mean AUROC 0.499,
                               highest lower limit 0.53, 95 % intervals that miss 0.5: 5.8 %
    aptos2019                  9 features, 200 shuffles: 0 warned of; mean AUROC 0.515,
                               highest lower limit 0.52, 95 % intervals that miss 0.5: 1.8 %
    generated, 60, 3 classes  13 features, 200 shuffles: 0 warned of; mean AUROC 0.568,
                               highest lower limit 0.59, 95 % intervals that miss 0.5: 1.0 %
    generated, 300, 2 classes 13 features, 200 shuffles: 0 warned of; mean AUROC 0.502,
                               highest lower limit 0.55, 95 % intervals that miss 0.5: 3.2 %
    generated, 600 in groups  13 features, 200 shuffles: 0 warned of; mean AUROC 0.539,
                               highest lower limit 0.49, 95 % intervals that miss 0.5: 0.0 %
    200 patients, log of their images deviates by 0.3: 0 of 60 warned of, 95 % intervals that miss 0.5: 0.0 %
    200 patients, log of their images deviates by 1.0: 0 of 60 warned of, 95 % intervals that miss 0.5: 0.0 %
    200 patients, log of their images deviates by 1.5: 0 of 60 warned of, 95 % intervals that miss 0.5: 0.0 %
    200 patients, log of their images deviates by 2.0: 0 of 60 warned of, 95 % intervals that miss 0.5: 0.0 %
    camera of AUROC 0.65, 100 images: warned of in 0 of 50 sets
    camera of AUROC 0.70, 100 images: warned of in 0 of 50 sets
    camera of AUROC 0.80, 100 images: warned of in 8 of 50 sets
    camera of AUROC 0.90, 100 images: warned of in 47 of 50 sets
    camera of AUROC 0.65, 300 images: warned of in 0 of 50 sets
    camera of AUROC 0.70, 300 images: warned of in 1 of 50 sets
    camera of AUROC 0.80, 300 images: warned of in 45 of 50 sets
    camera of AUROC 0.90, 300 images: warned of in 50 of 50 sets
    camera of AUROC 0.65, 1000 images: warned of in 0 of 50 sets
    camera of AUROC 0.70, 1000 images: warned of in 9 of 50 sets
    camera of AUROC 0.80, 1000 images: warned of in 50 of 50 sets
    camera of AUROC 0.90, 1000 images: warned of in 50 of 50 sets
    camera of AUROC 0.65, 3000 images: warned of in 0 of 50 sets
    camera of AUROC 0.70, 3000 images: warned of in 46 of 50 sets
    camera of AUROC 0.80, 3000 images: warned of in 50 of 50 sets
    camera of AUROC 0.90, 3000 images: warned of in 50 of 50 sets
    35,000 rows of 2 classes: 0.40 s
    35,000 rows of 5 classes: 0.57 s
    35,000 rows of 25 classes: 1.40 s
    AUROC 1.00 of 64 and 64 images: lower limit 0.95
"""

import time

import numpy as np

from fovea.audit.auroc import interval
from fovea.audit.shortcuts import shortcuts
from tests.audit_sets import Table, generated, real_table, table_of, uneven

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
    mean, top = np.mean([one["auroc"] for one in found]), max(one["low"] for one in found)
    print(f"{name:25s} {len(runs[0]):2d} features, {shuffles} shuffles: {flagged} warned of; mean AUROC {mean:.3f},\n"
          f"{'':26s} highest lower limit {top:.2f}, 95 % intervals that miss 0.5: {100 * outside:.1f} %")


def uneven_groups(sigma: float, repeats: int = 60) -> None:
    """Of a camera per patient that has nothing to do with the label of the patient."""
    found = [one for seed in range(repeats) for one in shortcuts(*table_of(uneven(200, sigma, seed)))
             if one["feature"] == "camera"]
    outside = np.mean([not one["low"] <= 0.5 <= one["high"] for one in found])
    print(f"200 patients, log of their images deviates by {sigma}: {sum(one['flagged'] for one in found)} of {repeats} "
          f"warned of, 95 % intervals that miss 0.5: {100 * outside:.1f} %")


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
    for sigma in (0.3, 1.0, 1.5, 2.0):
        uneven_groups(sigma)
    for images in (100, 300, 1000, 3000):
        for share in (0.65, 0.70, 0.80, 0.90):
            power(images, share)
    for classes in (2, 5, 25):
        table = table_of(generated(35_000, classes=classes, groups=17_000))
        start = time.perf_counter()
        shortcuts(*table)
        print(f"35,000 rows of {classes} classes: {time.perf_counter() - start:.2f} s")
    print(f"AUROC 1.00 of 64 and 64 images: lower limit {interval(1.0, 64, 64, 0.95)[0]:.2f}")
