"""`fovea compare`: results beside each other, in the terminal and as a page."""

from pathlib import Path

from fovea.compare.difference import difference
from fovea.compare.logged import RUN_ID, read_run
from fovea.compare.page import render
from fovea.compare.side import WORKSPACE, Side, read_named, stale
from fovea.compare.tables import Comparison
from fovea.compare.terminal import lines
from fovea.errors import UserError
from fovea.files import replacing
from fovea.tracking.provenance import workspace_root


def compare(names: list[str], out: Path) -> None:
    """Hold each of the named results against the first, print it, and write the page `out`.

    Raises UserError for a name that nothing has, or that has no finished run.
    """
    if len(names) < 2:
        raise UserError(f"compare: only {', '.join(names)} is named; name another result, such as {WORKSPACE}")
    root = workspace_root()
    sides = [read_side(root, name) for name in names]
    notes = [f"{side.name}: {note}" for name, side in zip(names, sides, strict=True)
             for note in (name == WORKSPACE and stale(root, side.lock), side.mixed) if note]
    found = Comparison(sides, [difference(sides[0], side) for side in sides[1:]], notes)
    print("\n".join(lines(found)))
    with replacing(out) as temporary:
        temporary.write_text(render(found), encoding="utf-8")
    print(f"\n{out}")


def read_side(root: Path, name: str) -> Side:
    """The result of a revision, of the workspace, or of an MLflow run. Raises UserError if there is none."""
    try:
        return read_named(root, name)
    except LookupError as error:
        why = error
    if not RUN_ID.fullmatch(name):
        raise UserError(f"{name}: {why}; `uv run dvc exp show -A` lists experiments, and {WORKSPACE} is the files as "
                        "they are")
    try:
        return read_run(root, name)
    except LookupError as error:
        raise UserError(f"{name}: no revision holds this MLflow run, and {error}") from None
