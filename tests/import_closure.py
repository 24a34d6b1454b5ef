"""The files below src/ that a script imports, directly or not, by reading the import statements."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = "templates"  # a folder that the modules beside it read
# They change what is shown, recorded or refused, never a result
EXEMPT = ("src/fovea/progress.py", "src/fovea/tracking/", "src/fovea/params/every.py")


def import_closure(script: Path) -> set[str]:
    """Paths relative to the repository of every project module that `script` imports, and of the data beside them."""
    found: set[str] = set()
    open_files = [script]
    while open_files:
        for module in _imports(open_files.pop()):
            path = module.relative_to(ROOT).as_posix()
            if path not in found and not path.startswith(EXEMPT):
                found.add(path)
                open_files.append(module)
                if (data := module.parent / DATA).is_dir():
                    found.add(data.relative_to(ROOT).as_posix())
    return found


def _imports(script: Path) -> Iterator[Path]:
    for node in _walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        paths = (ROOT / "src" / Path(*name.split(".")).with_suffix(".py") for name in names)
        yield from (path for path in paths if path.exists())


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run: what stands under `if TYPE_CHECKING:` does not."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from _walk(child)


if __name__ == "__main__":
    for stage in sorted((ROOT / "stages").glob("*.py")):
        print(stage.name, *sorted(import_closure(stage)), sep="\n      - ")
