"""docs/parameters.md."""

import runpy
import shutil
from pathlib import Path

from fovea.recipes import choose, leaves, read_recipe, resolve, write_recipe

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs" / "write_parameters.py"))


def shipped_params(folder: Path) -> str:
    """params.yaml as it ships, also after `fovea recipe` has changed it."""
    path = Path(shutil.copy(ROOT / "params.yaml", folder / "params.yaml"))
    recipe = read_recipe("demo", ROOT / "recipes")
    write_recipe(path, resolve(recipe, choose(recipe, "demo", None, False)))
    return path.read_text(encoding="utf-8")


def test_the_page_is_in_step_with_params(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    assert page == SCRIPT["document"](shipped_params(tmp_path)), "run `python docs/write_parameters.py`"


def test_every_setting_has_a_meaning(tmp_path: Path) -> None:
    tables = SCRIPT["sections"](shipped_params(tmp_path))
    assert [key for _, _, rows in tables for key, _, meaning in rows if not meaning] == []


def test_every_setting_is_listed(tmp_path: Path) -> None:
    recipe = read_recipe("demo", ROOT / "recipes")
    stated = {key for key, _ in leaves(resolve(recipe, choose(recipe, "demo", None, False)))}
    tables = SCRIPT["sections"](shipped_params(tmp_path))
    listed = {f"{section}.{key}" for section, _, rows in tables for key, _, _ in rows}
    assert stated - listed == {"dataset.sources.0"}
