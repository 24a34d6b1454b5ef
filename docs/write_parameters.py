"""Write docs/parameters.md from params.yaml and its schema. tests/test_parameters_doc.py says when to run it.

python docs/write_parameters.py
"""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from fovea.params.train import Adam, Constant, Cosine, OneCycle, Plateau, Polynomial, Sgd, Steps

ROOT = Path(__file__).resolve().parent.parent
OPTIMIZERS: Mapping[str, type[BaseModel]] = {"sgd": Sgd, "adam": Adam, "adamw": Adam}
SCHEDULES: Mapping[str, type[BaseModel]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "polynomial": Polynomial,
    "plateau": Plateau,
    "steps": Steps,
}
LINE = re.compile(r"(?P<indent> *)(?P<item>- )?(?P<key>\w+):(?P<value>.*?)(\s+# (?P<meaning>.*))?$")

HEAD = """# Parameters

Written by `docs/write_parameters.py` from the comments of `params.yaml` as it ships; do not edit.
A section is a dependency of the stages that read it, so `dvc repro` runs those again when a key of it changes.
The layouts of labels are in [layouts.md](layouts.md).
"""


def document(params: str) -> str:
    """The page as Markdown, from the text of params.yaml."""
    text = HEAD
    for section, meaning, rows in sections(params):
        text += f"\n## {section}\n\n{meaning[:1].upper()}{meaning[1:]}.\n\n"
        text += "| key | as shipped | meaning |\n|---|---|---|\n"
        text += "".join(f"| `{key}` | {_code(value)} | {_cell(meaning)} |\n" for key, value, meaning in rows)
    text += "\n## Optimizers\n\nKeys of `train.frozen.optimizer` and `train.full.optimizer`.\n\n"
    text += _choices(OPTIMIZERS)
    text += "\n## Schedules\n\nKeys of `train.frozen.schedule` and `train.full.schedule`.\n\n"
    return text + _choices(SCHEDULES)


def sections(params: str) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """(section, meaning, [(key, value, meaning)]). A line without a comment means what the same key meant before it."""
    found: list[tuple[str, str, list[tuple[str, str, str]]]] = []
    above: list[tuple[int, str]] = []  # column and name of the keys that hold the line
    meanings: dict[str, str] = {}
    for match in filter(None, map(LINE.match, params.splitlines())):
        column = len(match["indent"] + (match["item"] or ""))
        key, value, meaning = match["key"], match["value"].strip(), match["meaning"] or ""
        if column == 0:
            found.append((key, meaning, []))
            above, meanings, previous = [], {}, ""
            continue
        above = [(held, name) for held, name in above if held < column]
        if match["item"]:
            above[-1] = (above[-1][0], above[-1][1].removesuffix("[]") + "[]")
        above.append((column, key))
        previous = meanings[key] = previous if meaning == "likewise" else meaning or meanings.get(key, "")
        if value or meaning:
            found[-1][2].append((".".join(name for _, name in above), value, previous))
    return found


def _choices(schemas: Mapping[str, type[BaseModel]]) -> str:
    rows = []
    for name, schema in schemas.items():
        keys = ", ".join(f"`{key}`" for key in schema.model_fields if key != "name") or "none"
        rows.append(f"| `{name}` | {keys} | {_cell(' '.join((schema.__doc__ or '').split()))} |\n")
    return "| name | further keys | meaning |\n|---|---|---|\n" + "".join(rows)


def _code(value: str) -> str:
    return f"`{_escape(value)}`" if value else ""


def _cell(text: str) -> str:
    return _escape(text).replace("<", "&lt;").replace("see docs/parameters.md", "see below")


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    page = document((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (ROOT / "docs" / "parameters.md").write_text(page, encoding="utf-8")
