"""Give every image its part, train, val or test, and say what the images give away before anything is trained.

    python stages/split.py

Reads data/manifest.parquet, and of the images in data/raw/ those that may be copies of others; writes
data/split.parquet, reports/split.json and reports/audit.json.
"""

from pathlib import Path

import pandas as pd

from fovea.audit.copies import find_copies, group_copies
from fovea.audit.findings import findings, refuse
from fovea.errors import report_user_errors
from fovea.files import replacing, write_json
from fovea.params.machine import MachineParams
from fovea.params.section import load
from fovea.params.split import SplitParams
from fovea.split import split_images, summarise, unit_of
from fovea.store import store_folder

report_user_errors()
params = load("split", SplitParams)
machine = load("machine", MachineParams)
manifest = pd.read_parquet("data/manifest.parquet")

pairs = find_copies(manifest, Path("data/raw") / manifest.attrs["name"], machine.workers, store_folder("audit"))
copies, too_large = group_copies(manifest, pairs)
split = split_images(manifest, copies, params)
audit = findings(manifest, split, unit_of(manifest, copies), pairs, copies, too_large, params)

with replacing("data/split.parquet") as path:
    split.to_parquet(path, index=False)
write_json("reports/split.json", summarise(manifest, split))
write_json("reports/audit.json", audit)
print("split: " + ", ".join(f"{count} {part}" for part, count in split["split"].value_counts().items()))
for warning in audit["warnings"]:
    print(f"warning: {warning}")
refuse(audit, params)
