"""A `.npz` of arrays, through all stages."""

from pathlib import Path

from tests.miniatures import write_arrays
from tests.project import STAGES, Project


def test_arrays_run_through_all_stages(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    write_arrays(project.folder / "data/raw/arrays")
    project.set_params(
        {
            "dataset.name": "arrays",
            "dataset.sources": [{"layout": "arrays", "file": "arrays.npz", "split": None}],
            "dataset.group": None,
            "augment.image_size": 32,
            "augment.crop": "none",
            "train.model": "squeezenet1_1",
            "train.full.epochs": 1,
        }
    )
    assert project.repro() == list(STAGES)
