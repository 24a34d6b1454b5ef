"""`fovea sweep`: several seeds and folds as experiments of DVC, gathered in one folder and one MLflow run."""

from copy import deepcopy
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from fovea.sweep.experiments import OWN, baseline, finished, plan, run_missing
from fovea.sweep.gather import read_run, write_results
from fovea.tracking.provenance import flatten_metrics, workspace_root
from fovea.tracking.sweeps import log_sweep

SWEEPS = Path("reports/sweeps")
PRINTED = ("balanced_accuracy", "accuracy", "auroc_macro", "quadratic_weighted_kappa", "log_loss")


def sweep(name: str, seeds: int, folds: int, settings: list[str]) -> None:
    """Run the experiments that are missing, write reports/sweeps/NAME, and record it all under one MLflow run.

    Raises UserError for a workspace that differs from its commit, a name that is taken, or an experiment that fails.
    """
    root = workspace_root()
    start, experiments = baseline(root), plan(name, seeds, folds, settings)
    finished(root, start, experiments)  # before anything is trained: is a name taken
    commits = run_missing(root, start, experiments)
    runs = [read_run(root, each, commits[each.name]) for each in experiments]
    summary, pooled = write_results(SWEEPS / name, runs)
    params = shared_params(experiments[0].params)
    log_sweep(name, [start, params], [run.run_id for run in runs if run.run_id], params,
              parent_values(summary, pooled), {"": [*sorted((SWEEPS / name).iterdir())]})
    print("\n".join(_lines(name, len(runs), summary, pooled)))


def shared_params(params: dict[str, Any]) -> dict[str, Any]:
    """All of params.yaml but the seed and the fold, in which the experiments differ."""
    shared = deepcopy(params)
    for section, key in (OWN[0].split("."), OWN[2].split(".")):
        del shared[section][key]
    return shared


def parent_values(summary: pd.DataFrame, pooled: dict[str, Any]) -> dict[str, float]:
    """Metrics of the MLflow run: test/accuracy/mean, test/accuracy/std, .., out_of_fold/accuracy, .."""
    spread = {f"{row.metric}/{name}": float(row[name]) for _, row in summary.iterrows() for name in ("mean", "std")}
    return {name: value for name, value in spread.items() if isfinite(value)} | flatten_metrics(pooled, "out_of_fold/")


def _lines(name: str, count: int, summary: pd.DataFrame, pooled: dict[str, Any]) -> list[str]:
    """What the sweep found, for the terminal."""
    lines = [f"{name}: {count} experiments", f"{'':<40}{'mean':>8}{'std':>8}{'min':>8}{'max':>8}{'n':>4}"]
    for metric, *figures, n in summary.itertuples(index=False):
        if metric.partition("/")[2] in PRINTED:
            lines.append(f"{metric:<40}" + "".join(f"{figure:8.3f}" for figure in figures) + f"{n:4d}")
    lines += [f"{f'out of fold/{key}':<40}{pooled[key]:8.3f}" for key in PRINTED if pooled[key] is not None]
    return [*lines, f"{SWEEPS / name}: runs.csv, summary.csv, out_of_fold.csv, figures"]
