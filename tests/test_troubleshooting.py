"""docs/troubleshooting.md: what is quoted there is still said by the code, ours or that of DVC and MLflow."""

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.import_closure import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
OTHERS = {"Of DVC": ("dvc",), "Of MLflow": ("mlflow/server", "mlflow/store")}
ANYTHING = "[^\n]{0,120}"


def quoted() -> Iterator[tuple[str, str]]:
    """(section, message) of each row that begins with a message."""
    for section in PAGE.split("\n## ")[1:]:
        for message in re.findall(r"(?m)^\| `([^`]+)` \|", section):
            yield section.partition("\n")[0], message


@cache
def code_of(section: str) -> str:
    """All code that may say it, with the parts of each text joined."""
    folders = [ROOT / "src/fovea", ROOT / "stages"]
    if section in OTHERS:
        folders = [place_of(name) for name in OTHERS[section]]
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.rglob("*.py"))]
    return re.sub(r"\"\s*\n\s*f?\"", "", "\n".join(texts))


def place_of(name: str) -> Path:
    package, _, folder = name.partition("/")
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / folder


@pytest.mark.parametrize(("section", "message"), quoted(), ids=lambda text: text[:50])
def test_a_message_is_said_by_the_code(section: str, message: str) -> None:
    fixed = [re.escape(part) for part in message.split("...") if part.strip(" :;,(")]
    assert sum(map(len, fixed)) > 8, "too short to tell"
    assert re.search(ANYTHING.join(fixed), code_of(section)), message


def test_every_row_is_of_three_cells_and_most_have_a_message() -> None:
    rows = re.findall(r"(?m)^\|(?!---)(?! it says).*\|$", PAGE)
    assert all(len(re.split(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert len(list(quoted())) >= len(rows) - 1
