"""Write the figure of the pipeline and the table below it into README.md. tests/test_readme.py says when to run it.

python docs/write_dag.py

The arrows are those of `dvc dag`: a stage reads what the other has written. Sections of params.yaml come from dvc.yaml.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from fovea.params.every import SCHEMAS

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- written by docs/write_dag.py -->\n", "<!-- end -->\n"
NODE = re.compile(r'(node\d+)\["(?:.*:)?(\w+)"\]')
ARROW = re.compile(r"(node\d+)-->(node\d+)")


def part(project: Path) -> str:
    """Figure and table as Markdown, of the project as it is in the folder `project`."""
    drawn = subprocess.run(["dvc", "dag", "--mermaid"], cwd=project, capture_output=True, text=True, check=True).stdout
    stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    read = {name: stage["params"] for name, stage in stages.items()}
    return f"```mermaid\n{figure(drawn, read)}\n```\n\n{table(drawn, read)}"


def figure(drawn: str, read: Mapping[str, list[str]]) -> str:
    """`drawn`, as DVC draws it, with the sections of params.yaml that each stage reads."""

    def labelled(match: re.Match[str]) -> str:
        sections = read.get(match[2], [])  # the drawing of the demo reads none of these
        named = "all but machine" if len(sections) == len(SCHEMAS) - 1 else ", ".join(sections)
        return f'{match[1]}["<b>{match[2]}</b>' + (f"<br/>params: {named}" if sections else "") + '"]'

    return NODE.sub(labelled, "\n".join(line.rstrip() for line in drawn.strip().splitlines()))


def table(drawn: str, read: Mapping[str, list[str]]) -> str:
    """What each section is about, and the stages that read it with all that stand behind them."""
    names = dict(NODE.findall(drawn))
    behind: dict[str, set[str]] = {name: set() for name in names.values()}
    for before, after in ARROW.findall(drawn):
        behind[names[before]].add(names[after])
    rows = "| section | is about | after a change at most these run |\n|---|---|---|\n"
    for section, schema in SCHEMAS.items():
        about = (sys.modules[schema.__module__].__doc__ or "").splitlines()[0].partition(": ")[2].rstrip(".")
        reached = [name for name in read if section in read[name]]
        for name in reached:  # grows while it is gone through
            reached += [after for after in behind[name] if after not in reached]
        again = ", ".join(f"`{name}`" for name in read if name in reached) or "none"
        rows += f"| `{section}` | {about} | {'all' if len(reached) == len(read) else again} |\n"
    return rows


def filled(readme: str, text: str) -> str:
    """`readme` with `text` between the two marks."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8"), part(README.parent)), encoding="utf-8")
