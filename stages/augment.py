"""Decode, crop, resize and vary every image once, and pack the pixels for training.

    python stages/augment.py

Reads data/manifest.parquet, data/split.parquet and the raw images that they name; writes data/cache/ and
reports/augment.json.
"""

from pathlib import Path

import pandas as pd

from fovea.cache.build import build_cache
from fovea.errors import report_user_errors
from fovea.files import replacing, write_json
from fovea.params.augment import AugmentParams
from fovea.params.machine import MachineParams
from fovea.params.section import load

report_user_errors()
params = load("augment", AugmentParams)
machine = load("machine", MachineParams)
manifest = pd.read_parquet("data/manifest.parquet")
split = pd.read_parquet("data/split.parquet")

with replacing("data/cache") as folder:
    summary = build_cache(folder, Path("data/raw") / manifest.attrs["name"], manifest, split, params, machine.workers)
write_json("reports/augment.json", summary)
print(f"augment: {summary['rows']} rows of {params.size} px from {summary['images']} images")
