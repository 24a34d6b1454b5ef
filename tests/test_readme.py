"""The README and the pages of docs/: what they quote, draw, link and name is there."""

import ast
import re
import runpy
from pathlib import Path

import pytest

from tests.import_closure import ROOT
from tests.project import Project
from tests.test_parameters_doc import shipped_params

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))]
FIGURE = r"\d[\d.,]*\d|\d"
LARGEST_PICTURE = 300_000  # bytes


def head_of(benchmark: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / "benchmarks" / benchmark).read_text(encoding="utf-8"))) or ""


def test_the_figure_of_the_pipeline_is_in_step_with_dvc(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    (project.folder / "params.yaml").write_text(shipped_params(tmp_path), encoding="utf-8")
    script = runpy.run_path(str(ROOT / "docs/write_dag.py"))
    assert script["filled"](README, script["part"](project.folder)) == README, "run `python docs/write_dag.py`"


def test_costs_are_those_that_the_benchmarks_printed() -> None:
    rows = re.findall(r"(?m)^\|[^|]+\|([^|]+)\| `(\w+\.py)` \|$", README.partition("\n## Costs\n")[2])
    assert len(rows) > 5
    for cost, benchmark in rows:
        figures = re.findall(FIGURE, cost)
        printed = re.findall(FIGURE, head_of(benchmark))
        assert figures and [figure for figure in figures if figure not in printed] == [], (cost, benchmark)


def test_results_of_recipes_are_those_that_their_files_and_the_benchmarks_have() -> None:
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("recipes/*.yaml"))]
    sources += [head_of(f"{name}.py") for name in re.findall(r"benchmarks/(\w+)\.py", page)]
    figures = re.findall(r"\d*\.\d{2,}", page)
    assert len(figures) > 20
    assert [figure for figure in figures if not any(figure in source for source in sources)] == []


def test_the_page_on_design_names_every_folder_of_the_library() -> None:
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("\n## The stages\n")[0]
    folders = {path.parent.name for path in (ROOT / "src/fovea").glob("*/__init__.py")} - {"demo"}
    assert [name for name in sorted(folders) if f"{name}/`" not in page] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_and_scripts_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target
    named = re.findall(r"\b(?:benchmarks|tests|recipes|stages|docs)/\w+\.(?:py|yaml|md)\b", text)
    named += [f"benchmarks/{name}.py" for name in re.findall(r"python -m benchmarks\.(\w+)", text)]
    assert [name for name in named if not (ROOT / name).exists()] == []


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("picture", sorted(ROOT.glob("docs/pictures/*")), ids=lambda path: path.name)
def test_a_picture_is_small_enough_to_be_seen_at_once(picture: Path) -> None:
    assert picture.stat().st_size < LARGEST_PICTURE
