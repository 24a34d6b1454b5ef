"""What survives between runs, outside DVC's outputs: safe to delete at any time, at the cost of making it again."""

import os
from pathlib import Path


def store_folder(name: str) -> Path:
    """The folder `.cache/fovea/<name>` of the main checkout, even in a temporary workspace of `dvc exp run --temp`.

    DVC sets DVC_ROOT for its stages; without it the current folder is the project. The folder may not exist yet.
    """
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / ".cache" / "fovea" / name
