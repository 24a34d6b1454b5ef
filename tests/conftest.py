"""Fixtures; and the settings that make small trainings fast and repeatable."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: reference losses are of one thread
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DVC_NO_ANALYTICS"] = "1"

from pathlib import Path

import pytest

from fovea.cache.read import Cache
from tests.small import write_cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return write_cache(tmp_path / "cache")
