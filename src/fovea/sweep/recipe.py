"""`fovea sweep recipes/NAME.yaml`: every variant of a recipe as an experiment of DVC, and its published figures."""

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from fovea.files import replacing
from fovea.published import read_experiment, write_figures
from fovea.recipes import read_recipe
from fovea.sweep.experiments import baseline, finished, plan_recipe, run_missing
from fovea.sweep.gather import Run, read_run, runs_table
from fovea.tables import write_table
from fovea.tracking.provenance import flatten_params, workspace_root
from fovea.tracking.sweeps import log_sweep

PRINTED = ("accuracy", "balanced_accuracy", "auroc_macro", "quadratic_weighted_kappa")  # of the test part


def sweep_recipe(path: Path, folder: Path, quick: bool, settings: list[str]) -> None:
    """Run the variants that are missing, write runs.csv and the figures into `folder`/NAME, and record it all under one
    MLflow run.

    Raises UserError for a workspace that differs from its commit, a name that is taken, or an experiment that fails.
    """
    name = f"{path.stem}-quick" if quick else path.stem
    root = workspace_root()
    start, experiments = baseline(root), plan_recipe(path, quick, settings)
    finished(root, start, experiments)  # before anything is trained: is a name taken
    commits = run_missing(root, start, experiments)
    runs = [read_run(root, each, commits[each.name]) for each in experiments]
    table = runs_table(runs)
    _write(folder / name, runs, table)
    published = read_recipe(path.stem, path.parent).get("published", {})
    lines = rows(path.stem, table, {} if quick or settings else published)
    params = shared([flatten_params(each.params) for each in experiments])
    children = [one for run in runs if (one := run.training or run.run_id)]
    log_sweep(name, [start, params], children, params, parent_values(table),
              {"": [*sorted((folder / name).iterdir())]}, note(lines))
    print("\n".join([f"{name}: {len(runs)} experiments, test part", *_aligned(lines),
                     f"{folder / name}: runs.csv, published figures"]))


def shared(params: list[dict[str, str]]) -> dict[str, str]:
    """What is the same in all, by dotted name."""
    return dict(sorted(set.intersection(*(set(each.items()) for each in params))))


def parent_values(table: pd.DataFrame) -> dict[str, float]:
    """Metrics of the MLflow run: test/accuracy/<experiment>, .."""
    found = {f"test/{key}/{row['experiment']}": float(row.get(f"test/{key}", "nan"))
             for _, row in table.iterrows() for key in PRINTED}
    return {name: value for name, value in found.items() if isfinite(value)}


def rows(recipe: str, table: pd.DataFrame, published: dict[str, dict[str, Any]]) -> list[list[str]]:
    """A head, and a line for each experiment: its test figures, and the published accuracy where the recipe has it."""
    known = {f"{recipe}-{variant}": figures["accuracy"] for variant, figures in published.items()}
    lines = [["experiment", *(key.replace("_", " ") for key in PRINTED), *(["published accuracy"] if known else [])]]
    for _, row in table.iterrows():
        figures = [row.get(f"test/{key}") for key in PRINTED] + ([known.get(row["experiment"])] if known else [])
        lines.append([row["experiment"], *("-" if pd.isna(figure) else f"{figure:.3f}" for figure in figures)])
    return lines


def note(lines: list[list[str]]) -> str:
    """What the MLflow run is described by, Markdown."""
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    title = f"**{len(body)} trainings**, the child runs of this one."
    return "\n".join([title, "", head, "|---" * len(lines[0]) + "|", *body])


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]


def _write(folder: Path, runs: list[Run], table: pd.DataFrame) -> None:
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_table(temporary / "runs.csv", table)
        # by the commit: a branch may have the name of an experiment
        write_figures([replace(read_experiment(run.commit), name=run.experiment.name) for run in runs], temporary)
