"""Real sets for the benchmarks of training: a cache built by the library's own functions, a model trained on it."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import yaml
from torch import nn

from fovea.audit.copies import find_copies, group_copies
from fovea.audit.shortcuts import shortcuts
from fovea.cache.build import build_cache
from fovea.cache.read import Cache
from fovea.evaluation.metrics import score
from fovea.evaluation.predict import predict
from fovea.ingest.manifest import build_manifest
from fovea.params.every import SCHEMAS
from fovea.split import split_images, unit_of
from fovea.training.loop import Trainer
from fovea.training.prepare import prepare
from tests.import_closure import ROOT
from tests.real_sets import FOLDER, MISSING, REAL_SETS

CPU = torch.device("cpu")


def asked(words: list[str], rows: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Of the words of a command line the names in `rows`, all where there is none, and the values of `key=value`."""
    pairs = [word.partition("=") for word in words if "=" in word]
    names = [word for word in words if "=" not in word] or list(rows)
    if unknown := [name for name in names if name not in rows]:
        raise SystemExit(f"no row {unknown[0]}; there are {', '.join(rows)}")
    if FOLDER is None:
        raise SystemExit(MISSING)
    return names, {key: yaml.safe_load(value) for key, _, value in pairs}


def sections(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The sections of params.yaml for the real set `name`, with `changes` by their dotted keys, checked."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in {**REAL_SETS[name], **changes}.items():
        *parents, last = key.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        if last not in section:
            raise SystemExit(f"{key}: unknown key")
        section[last] = value
    return {section: SCHEMAS[section].model_validate(values[section]) for section in values}


class Built(NamedTuple):
    """A real set, ready for training."""

    cache: Cache
    shortcuts: list[dict[str, Any]]  # what the audit finds, the strongest first


def build(name: str, params: dict[str, Any], folder: Path, test: bool = True) -> Built:
    """A real set in the cache, below `folder`, which keeps what was read and rendered for the next call.

    Without `test` the test rows stay out of the cache, so that nothing can look at them.
    """
    raw = Path(FOLDER or "") / name
    manifest, _ = build_manifest(raw, params["dataset"], params["ingest"].max_pixels, 0, folder / "ingest")
    copies, _ = group_copies(manifest, find_copies(manifest, raw, 0, folder / "audit"))
    split = split_images(manifest, copies, params["split"])
    found = shortcuts(manifest, split["split"].to_numpy(object), unit_of(manifest, copies))
    if not test:
        split["split"] = split["split"].where(split["split"] != "test")
    cache = folder / f"cache{time.monotonic_ns()}"
    build_cache(cache, raw, manifest, split, params["augment"], 0, folder / "rows")
    return Built(Cache(cache), found)


def has_set(name: str) -> bool:
    return (Path(FOLDER or "") / name).is_dir()


@dataclass
class Fitted:
    """A trained model, what `predict` needs to know of it, and the seconds it took."""

    model: nn.Module
    record: dict[str, Any]
    seconds: float


def fit(cache: Cache, params: Any, choose: bool = True) -> Fitted:
    """Train as stages/train.py does, on the CPU; `params` are those of `train`.

    Without `choose`, or without validation rows, the last epoch is kept.
    """
    parts = prepare(params, cache, CPU)
    start = time.perf_counter()
    trainer = Trainer(parts if choose else parts._replace(val=None), params, quiet, lambda *_: None)
    trainer.run()
    record = {"crop": params.crop, "scaling": params.scaling, "loss": params.loss.name,
              "classes": cache.attrs["classes"]}
    return Fitted(parts.model, record, time.perf_counter() - start)


def quiet(items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    return iter(items)


def predictions(fitted: Fitted, cache: Cache, params: Any) -> pd.DataFrame:
    """The predicted validation and test images, as the stage evaluate saves them; `params` are those of `evaluate`."""
    return predict(fitted.model, fitted.record, cache, CPU, params.views, quiet)


def figures(table: pd.DataFrame, cache: Cache) -> dict[str, float]:
    """Macro AUROC, accuracy, balanced accuracy, quadratic weighted kappa and log loss of predictions."""
    found = score(table, cache.attrs["classes"], cache.attrs["positive"])
    names = {"auroc": "auroc_macro", "accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy",
             "kappa": "quadratic_weighted_kappa", "loss": "log_loss"}
    return {short: found[name] for short, name in names.items()}
