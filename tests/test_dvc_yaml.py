"""dvc.yaml says what each stage really reads."""

from pathlib import Path

import pytest
import yaml

from fovea.params.every import SCHEMAS
from fovea.params.section import SECTIONS, key_names
from tests.import_closure import ROOT, import_closure

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
DRAWING = yaml.safe_load((ROOT / "demo/dvc.yaml").read_text())["stages"]["draw"]


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_stage_depends_on_exactly_the_modules_that_it_imports(stage: str) -> None:
    code = {path for path in PIPELINE[stage]["deps"] if path.startswith("src/")}
    assert code == import_closure(ROOT / "stages" / f"{stage}.py")
    assert f"stages/{stage}.py" in PIPELINE[stage]["deps"]


def test_the_demo_depends_on_exactly_the_modules_that_it_imports() -> None:
    code = {path.removeprefix("../") for path in DRAWING["deps"] if path.startswith("../src/")}
    assert code == import_closure(ROOT / "demo/draw.py")


def test_every_section_but_machine_is_a_dependency() -> None:
    sections = {name for stage in PIPELINE.values() for name in stage["params"]}
    assert sections == set(SECTIONS) - {"machine"}


def test_no_key_has_a_name_that_the_run_cache_leaves_out() -> None:
    """With `size` or `nfiles` changed alone, DVC restores the results of the old value (its issue 10296)."""
    names = set().union(*(key_names(schema.model_json_schema()) for schema in SCHEMAS.values()))
    assert "image_size" in names
    assert not names & {"size", "nfiles"}


def test_no_output_switches_the_run_cache_off() -> None:
    options = [o for s in PIPELINE.values() for out in s["outs"] if isinstance(out, dict) for o in out.values()]
    assert not [option for option in options if option.get("persist") or option.get("cache") is False]


@pytest.mark.parametrize("init", sorted((ROOT / "src").rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_init_files_are_empty(init: Path) -> None:
    assert init.read_text() == ""  # code there would be a dependency that no stage names
