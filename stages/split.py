"""Give every image its part: train, val or test.

    python stages/split.py

Reads data/manifest.parquet; writes data/split.parquet, reports/split.json and reports/audit.json.
"""

import pandas as pd

from fovea.errors import report_user_errors
from fovea.files import replacing, write_json
from fovea.params.section import load
from fovea.params.split import SplitParams
from fovea.split import audit, split_images, summarise

report_user_errors()
params = load("split", SplitParams)
manifest = pd.read_parquet("data/manifest.parquet")

split = split_images(manifest, params)

with replacing("data/split.parquet") as path:
    split.to_parquet(path, index=False)
write_json("reports/split.json", summarise(manifest, split))
write_json("reports/audit.json", audit(manifest, split))
print("split: " + ", ".join(f"{count} {part}" for part, count in split["split"].value_counts().items()))
