"""Look at every file once: what is a usable labelled image, and what is rejected why.

    python stages/ingest.py

Reads data/raw/<dataset.name>; writes data/manifest.parquet, reports/ingest.json and reports/rejected.csv.
"""

from pathlib import Path

from fovea.errors import report_user_errors
from fovea.files import replacing, write_json
from fovea.ingest.address import archive_digests
from fovea.ingest.manifest import build_manifest, check_rejected, summarise
from fovea.params.dataset import DatasetParams
from fovea.params.ingest import IngestParams
from fovea.params.machine import MachineParams
from fovea.params.section import load
from fovea.store import store_folder
from fovea.tables import write_table

report_user_errors()
dataset = load("dataset", DatasetParams)
limits = load("ingest", IngestParams)
machine = load("machine", MachineParams)

folder, store = Path("data/raw") / dataset.name, store_folder("ingest")
manifest, rejected = build_manifest(folder, dataset, limits.max_pixels, machine.workers, store, machine.engine)
write_table("reports/rejected.csv", rejected)  # before the check: who has to correct the files needs the list
check_rejected(manifest, rejected, limits.max_rejected)

with replacing("data/manifest.parquet") as path:
    manifest.to_parquet(path, index=False)
archives = archive_digests(folder, manifest["image"])  # by which `fovea prune` knows those that are in use
write_json("reports/ingest.json", {**summarise(manifest, rejected), "archives": archives})
print(f"ingest: {len(manifest)} images of {len(manifest.attrs['classes'])} classes, {len(rejected)} rejected")
