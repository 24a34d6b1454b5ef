"""`fovea sweep`: several trainings as experiments of DVC, gathered in one folder and one MLflow run."""

from copy import deepcopy
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from fovea.errors import UserError
from fovea.sweep.experiments import OWN, baseline, finished, plan, run_missing
from fovea.sweep.gather import read_run, write_results
from fovea.sweep.recipe import sweep_recipe
from fovea.tracking.provenance import flatten_metrics, workspace_root
from fovea.tracking.sweeps import log_sweep

SWEEPS = Path("reports/sweeps")
PRINTED = ("balanced_accuracy", "accuracy", "auroc_macro", "quadratic_weighted_kappa", "log_loss")


def sweep(name: str, seeds: int | None, folds: int | None, settings: list[str], quick: bool) -> None:
    """A sweep over seeds and folds, or, of the path of a recipe, over its variants. Raises UserError."""
    if not name.endswith(".yaml"):
        if quick:
            raise UserError("--quick: is of a recipe; give recipes/NAME.yaml")
        sweep_seeds(name, 3 if seeds is None else seeds, 5 if folds is None else folds, settings)
    elif seeds is not None or folds is not None:
        raise UserError("--seeds, --folds: a recipe states its seed and split; leave them out, or use -S")
    else:
        sweep_recipe(Path(name), SWEEPS, quick, settings)


def sweep_seeds(name: str, seeds: int, folds: int, settings: list[str]) -> None:
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
    log_sweep(name, [start, params], [one for run in runs if (one := run.training or run.run_id)], params,
              parent_values(summary, pooled), {"": [*sorted((SWEEPS / name).iterdir())]}, note(len(runs), summary))
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


def note(count: int, summary: pd.DataFrame) -> str:
    """What the MLflow run is described by, Markdown: the test part's main figures over all experiments."""
    rows = [f"| {metric.partition('/')[2]} | {mean:.3f} | {std:.3f} | {low:.3f} | {high:.3f} | {n} |"
            for metric, mean, std, low, high, n in summary.itertuples(index=False)
            if metric.partition("/")[0] == "test" and metric.partition("/")[2] in PRINTED]
    head = ["| test part | mean | std | least | largest | n |", "|---|---|---|---|---|---|"]
    return "\n".join([f"**{count} trainings**, the child runs of this one.", "", *head, *rows])


def _lines(name: str, count: int, summary: pd.DataFrame, pooled: dict[str, Any]) -> list[str]:
    """What the sweep found, for the terminal."""
    lines = [f"{name}: {count} experiments", f"{'':<40}{'mean':>8}{'std':>8}{'min':>8}{'max':>8}{'n':>4}"]
    for metric, *figures, n in summary.itertuples(index=False):
        if metric.partition("/")[2] in PRINTED:
            lines.append(f"{metric:<40}" + "".join(f"{figure:8.3f}" for figure in figures) + f"{n:4d}")
    lines += [f"{f'out of fold/{key}':<40}{pooled[key]:8.3f}" for key in PRINTED if pooled[key] is not None]
    return [*lines, f"{SWEEPS / name}: runs.csv, summary.csv, out_of_fold.csv, figures"]
