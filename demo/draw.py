"""Draw the demo image set into data/raw/demo.

python demo/draw.py
"""

import os
import shutil
from pathlib import Path

import yaml

from fovea.demo.dataset import draw_dataset

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "data" / "raw" / "demo"

if __name__ == "__main__":  # the drawing processes import this file
    params = yaml.safe_load((HERE / "params.yaml").read_text(encoding="utf-8"))
    shutil.rmtree(FOLDER, ignore_errors=True)  # as DVC does before it runs a stage
    draw_dataset(
        FOLDER,
        patients=params["demo"]["patients"],
        seed=params["demo"]["seed"],
        min_size=params["demo"]["min_size"],
        max_size=params["demo"]["max_size"],
        workers=params["machine"]["workers"] or os.cpu_count() or 1,
    )
