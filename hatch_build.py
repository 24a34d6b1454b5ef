"""Puts what `fovea init` makes a project of into the wheel, beside the package's modules: see pyproject.toml."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":  # an editable install has the repository itself
            if "remote" in Path(self.root, ".dvc/config").read_text(encoding="utf-8"):
                raise ValueError(".dvc/config names a remote, which the wheel would carry; build from a fresh clone")
            names = self.build_config.build_config["only-include"]
            build_data["force_include"] = {name: f"fovea/project/{name}" for name in names if name != "src/fovea"}
