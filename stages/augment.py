"""Decode, crop, resize and vary every image once, and pack the pixels for training.

    python stages/augment.py

Reads data/manifest.parquet, data/split.parquet and the raw images that they name; writes data/cache/ and
reports/augment.json. What was rendered before, in any version of the set, comes from .cache/fovea/rows.
"""

from pathlib import Path

import pandas as pd

from fovea.cache.build import build_cache
from fovea.errors import report_user_errors
from fovea.files import replacing, write_json
from fovea.params.augment import AugmentParams
from fovea.params.machine import MachineParams
from fovea.params.section import load
from fovea.store import store_folder

report_user_errors()
params = load("augment", AugmentParams)
machine = load("machine", MachineParams)
manifest = pd.read_parquet("data/manifest.parquet")
split = pd.read_parquet("data/split.parquet")

with replacing("data/cache") as folder:
    raw = Path("data/raw") / manifest.attrs["name"]
    summary, rendered = build_cache(folder, raw, manifest, split, params, machine.workers, store_folder("rows"),
                                    machine.engine, machine.shards)
write_json("reports/augment.json", summary)
print(f"augment: {summary['rows']} rows of {params.image_size} px from {summary['images']} images, {rendered} rendered")
if summary["uncropped"]:
    print(f"augment: no circle was found in {summary['uncropped']} images, which are kept whole (augment.crop)")
