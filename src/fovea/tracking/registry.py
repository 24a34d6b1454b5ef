"""The registry: versions of a model that others use, in the same MLflow store as the runs.

A version is a folder of files with the run of its training, which MLflow can serve: the classifier, its test rows for
the comparison with the next one, and the code that goes with it.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import fovea
from fovea.errors import UserError
from fovea.tracking import provenance, store
from fovea.tracking.client import LONGEST_TAG, MISSING, connect
from fovea.tracking.runs import find_training
from fovea.tracking.trouble import trouble

CHAMPION, PREVIOUS = "champion", "previous"  # aliases
KEY = "fovea.classifier"                     # tag: tells a model with its evaluation from any other
NAME = re.compile(r"[\w.-]+")
CLASSIFIER, ROWS = "data/classifier.pt", "test_rows.parquet"  # files of a version
LOADER = "fovea.tracking.serving"
NEEDED = ("fsspec", "numpy", "opencv-python-headless", "pandas", "pillow", "pydantic", "pyyaml", "scikit-learn",
          "scipy", "simplejpeg", "torch", "torchvision")  # by `LOADER` and what it imports


class Registered(NamedTuple):
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    tags: dict[str, str]

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class Packaged(NamedTuple):
    """What makes a version, beside its run."""

    classifier: Path            # file of `save_classifier`
    rows: pd.DataFrame          # of `test_rows`
    network: str
    classes: list[str]
    example: str                # base64 of a picture
    metadata: Mapping[str, Any]  # plain values, for whoever reads the files alone


class Registry:
    """The versions of the model `name`. Every method raises UserError where the store can't be used."""

    def __init__(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise UserError(f"--name {name}: letters, digits, _, - and . make a name")
        self.name = name
        with _usable():
            self._client = connect()

    def find_run(self, run_id: str | None, token: str) -> Any:
        """The run of a training by its id or token, None if the store has none."""
        with _usable():
            return find_training(self._client, run_id, token)

    def holder(self, alias: str) -> Registered | None:
        """The version that has the alias."""
        from mlflow import MlflowException

        with _usable():
            try:
                aliases = self._client.get_registered_model(self.name).aliases
            except MlflowException as error:
                if error.error_code not in MISSING:
                    raise
                return None
            return self._of(self._client.get_model_version(self.name, aliases[alias])) if alias in aliases else None

    def find(self, key: str) -> Registered | None:
        """The version of this key."""
        with _usable():
            found = self._client.search_model_versions(f"name = '{self.name}' and tags.`{KEY}` = '{key}'")
            return self._of(min(found, key=lambda each: int(each.version))) if found else None

    def add(self, key: str, run: Any, packaged: Packaged, tags: Mapping[str, str]) -> Registered:
        """Make a version of a run. Its files are there before it is, so that one that was killed begins anew."""
        from mlflow import MlflowException

        place = _place(key)
        with _usable(), tempfile.TemporaryDirectory() as folder:
            write_package(Path(folder) / place, run.info.run_id, packaged)
            self._client.log_artifacts(run.info.run_id, str(Path(folder) / place), place)
            try:
                self._client.create_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = self._client.create_model_version(
                self.name, f"{run.info.artifact_uri}/{place}", run.info.run_id, {**_shown(tags), KEY: key})
            return self._of(made)

    def rows(self, of: Registered) -> pd.DataFrame:
        """Its table of `test_rows`. Raises UserError if it has none."""
        if KEY not in of.tags:
            raise UserError(f"{of} was not registered by fovea promote, so its test images are not known; take the "
                            f"alias {CHAMPION} from it in MLflow")
        with tempfile.TemporaryDirectory() as folder:
            return pd.read_parquet(self._fetch(of, ROWS, Path(folder)))

    def classifier(self, of: Registered, folder: Path) -> Path:
        """Its classifier, as a file in `folder`."""
        if KEY not in of.tags:
            raise UserError(f"{of} was not registered by fovea promote; fovea predict reads no other model")
        return self._fetch(of, CLASSIFIER, folder)

    def _fetch(self, of: Registered, path: str, folder: Path) -> Path:
        with _usable():
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            place = _place(of.tags[KEY])
            return Path(self._client.download_artifacts(of.run_id, f"{place}/{path}", str(folder)))

    def version(self, number: str) -> Registered | None:
        from mlflow import MlflowException

        with _usable():
            try:
                return self._of(self._client.get_model_version(self.name, number))
            except MlflowException as error:
                if error.error_code not in MISSING:
                    raise
                return None

    def describe(self, of: Registered, tags: Mapping[str, str]) -> None:
        """Tag a version."""
        with _usable():
            for tag, value in _shown(tags).items():
                self._client.set_model_version_tag(self.name, of.version, tag, value)

    def crown(self, new: Registered, old: Registered | None) -> None:
        """Give `new` the alias champion, and previous to `old`: that first, so that no kill loses it."""
        with _usable():
            if old is not None:
                self._client.set_registered_model_alias(self.name, PREVIOUS, old.version)
            self._client.set_registered_model_alias(self.name, CHAMPION, new.version)

    def _of(self, found: Any) -> Registered:
        return Registered(self.name, str(found.version), found.run_id, dict(found.tags))


def fetch_model(uri: str, folder: Path) -> Path:
    """The classifier of `models:/NAME@ALIAS` or `models:/NAME/VERSION`, as a file in `folder`.

    Raises UserError if there is no such version, or the store can't be used.
    """
    name, sign, which = re.fullmatch(r"models:/([^@/]*)([@/]?)(.*)", uri).groups()  # type: ignore[union-attr]
    if not sign or not which:
        raise UserError(f"{uri}: write models:/NAME@ALIAS or models:/NAME/VERSION, such as models:/fovea@{CHAMPION}")
    registry = Registry(name)
    found = registry.holder(which) if sign == "@" else registry.version(which)
    if found is None:
        raise UserError(f"{uri}: {provenance.scrub(store.store_uri())} has no such version; uv run fovea promote "
                        "registers one")
    return registry.classifier(found, folder)


def write_package(folder: Path, run_id: str, packaged: Packaged) -> None:
    """Write the files of a version. They hold the code, so that it predicts by the preprocessing that it was trained
    with wherever `NEEDED` is installed, whatever Fovea is there."""
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as code:
        copy_code(Path(code))
        mlflow.pyfunc.save_model(
            folder, loader_module=LOADER, data_path=str(packaged.classifier), code_paths=[f"{code}/fovea"],
            mlflow_model=Model(artifact_path=folder.name, run_id=run_id), signature=_signature(packaged.classes),
            input_example=pd.DataFrame({"image": [packaged.example]}), pip_requirements=requirements(packaged.network),
            metadata=dict(packaged.metadata),
        )
    packaged.rows.to_parquet(folder / ROWS, index=False)


def copy_code(folder: Path) -> None:
    """Copy the modules of Fovea that `LOADER` imports, and no more: to a server each file is a request."""
    with tempfile.TemporaryDirectory() as alone:  # so that what else is installed is not followed
        Path(alone, "fovea").symlink_to(Path(fovea.__file__).parent)
        finder = ModuleFinder([alone])
        finder.import_hook(LOADER)
        found: dict[str, Any] = finder.modules
        for module in found.values():
            if module.__file__:  # those of Python itself have none
                copy = folder / Path(module.__file__).relative_to(alone)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(module.__file__, copy)


def _signature(classes: Sequence[str]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    figures = ["distance", *(f"{prefix}_{name}" for prefix in ("p", "calibrated") for name in classes)]
    return ModelSignature(
        # As `string`, MLflow would make all texts of a request as long as its longest, of four bytes a letter
        Schema([ColSpec(AnyType(), "image")]),
        Schema([ColSpec(DataType.string, "label"), ColSpec(DataType.boolean, "unlike"),
                *(ColSpec(DataType.double, name) for name in figures)]),
        ParamSchema([ParamSpec("at", DataType.string, "")]),
    )


def requirements(network: str) -> list[str]:
    """What predicting with `network` takes beside Fovea, at the versions that are here."""
    packages = [*NEEDED, *(["timm"] if network.startswith("timm/") else []),
                *(["pydicom"] if importlib.util.find_spec("pydicom") else [])]
    # Builds such as 2.11.0+cpu are not in PyPI
    return [f"{package}=={importlib.metadata.version(package).partition('+')[0]}" for package in packages]


def _place(key: str) -> str:
    """The folder of a version among the files of its run."""
    return f"classifier-{key[:12]}"


def _shown(tags: Mapping[str, str]) -> dict[str, str]:
    return {provenance.safe_name(tag): provenance.scrub(value)[:LONGEST_TAG] for tag, value in tags.items()}


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever MLflow, SQLAlchemy, requests or the disk raise
        uri = store.store_uri()
        raise UserError(f"MLflow: {provenance.scrub(uri)} can't be used as a registry: {trouble(error, uri)}") from None
