"""What the published pieces of work show, made from the files of our runs: figures and a table of predictions."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fovea.errors import UserError
from fovea.evaluation.table import class_numbers
from fovea.files import replacing
from fovea.revisions import read_at


@dataclass(frozen=True)
class Experiment:
    """What the figures show of one run. `history` is reports/history.csv, `predictions` those of the test part."""

    name: str
    model: str
    weights: str
    history: pd.DataFrame
    predictions: pd.DataFrame


def read_experiment(name: str) -> Experiment:
    """The run that DVC has under `name`: an experiment, branch, tag or commit. Raises UserError if it has none."""
    try:
        train = yaml.safe_load(read_at(name, "params.yaml"))["train"]
        history = pd.read_csv(io.BytesIO(read_at(name, "reports/history.csv")))
        predictions = _text_table(read_at(name, "reports/predictions.csv").decode("utf-8"))
    except LookupError as error:
        raise UserError(f"{name}: no finished run ({error}); make one with `dvc exp run -n {name}`") from None
    test = predictions[predictions["split"] == "test"]
    return Experiment(name, train["model"], train["weights"], history, test)


def write_figures(experiments: list[Experiment], folder: Path) -> list[Path]:
    """A figure of accuracy per epoch for each network, a confusion matrix for each run: PNG files in `folder`."""
    paths = []
    for model in dict.fromkeys(run.model for run in experiments):
        runs = [run for run in experiments if run.model == model]
        paths.append(_save(draw_accuracy(runs), folder / f"accuracy-{model}.png"))
    for run in experiments:
        paths.append(_save(draw_confusion(run), folder / f"confusion-{run.name.replace('/', '-')}.png"))
    return paths


def draw_accuracy(runs: list[Experiment]) -> Figure:
    """Training and validation accuracy per epoch of runs of one network."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, run in enumerate(runs):
        weights = "without weights" if run.weights == "none" else f"weights {run.weights}"
        for part, style in (("train", "--"), ("val", "-")):
            label = f"{weights}, {'training' if part == 'train' else 'validation'} ({run.name})"
            values = run.history[f"{part}_accuracy"]
            axes.plot(run.history["epoch"], values, style, color=f"C{number}", marker=".", label=label)
    axes.set(title=runs[0].model, xlabel="epoch", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize="small")
    return figure


def draw_confusion(run: Experiment) -> Figure:
    """Confusion matrix of the test part, each row divided by its number of images."""
    classes = [column.removeprefix("p_") for column in run.predictions.columns if column.startswith("p_")]
    matrix = normalised_confusion(run.predictions, classes)
    figure = Figure(figsize=(1.5 + 0.8 * len(classes), 1 + 0.8 * len(classes)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes)
    axes.set_yticks(ticks, classes)
    axes.set(title=f"{run.name}: {len(run.predictions)} test images", xlabel="predicted", ylabel="actual")
    _write_shares(axes, matrix)
    return figure


def normalised_confusion(predictions: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """(n, n) float64: share of the images of class i (row) that were predicted as j; NaN for a class without images."""
    shares = np.zeros((len(classes), len(classes)))
    actual, predicted = (class_numbers(predictions[name], classes) for name in ("label", "prediction"))
    np.add.at(shares, (actual, predicted), 1)
    with np.errstate(invalid="ignore"):
        shares /= shares.sum(axis=1, keepdims=True)
    return shares


def published_predictions(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """`img_path,label,predict` of one part: the image's address in the set, true and predicted class number.

    `predictions` is reports/predictions.csv as text; classes are numbered from 0 in the order of its `p_` columns.
    """
    classes = [column.removeprefix("p_") for column in predictions.columns if column.startswith("p_")]
    rows = predictions[predictions["split"] == part]
    label, predict = (class_numbers(rows[name], classes) for name in ("label", "prediction"))
    return pd.DataFrame({"img_path": rows["image"].to_numpy(), "label": label, "predict": predict})


def export_predictions(source: Path, target: Path) -> int:
    """Write the published table of the test part of `source`. Returns its number of rows."""
    try:
        predictions = _text_table(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{source}: not there; run `dvc repro` first") from None
    table = published_predictions(predictions)
    with replacing(target) as temporary:
        table.to_csv(temporary, index=False)
    return len(table)


def _text_table(text: str) -> pd.DataFrame:
    """Names stay text: a class may be called 0, NA or null."""
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def _write_shares(axes: Axes, matrix: np.ndarray) -> None:
    for (row, column), share in np.ndenumerate(matrix):
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.5 else "black")


def _save(figure: Figure, path: Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path
