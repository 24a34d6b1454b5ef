"""The report as one HTML file: no script, no request; every name from the image set is escaped."""

from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from fovea.report import audit, content, drawn, figures
from fovea.report.pictures import examples
from fovea.report.results import Results

HERE = Path(__file__).parent


def render(results: Results) -> str:
    """The page. It opens from disk: images and figures are inside it."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = format_figure
    confusion = content.confusion(results)
    return environment.get_template("template.html").render(
        r=results, content=content, audit=audit, drawn=drawn, confusion=confusion, shares=row_shares(confusion),
        shorten=figures.shorten,
        examples=[(name, examples(results.cache, name, results.examples)) for name in results.classes],
    )


def draw_figures(results: Results) -> dict[str, Figure]:
    """The figures of the report by name, on white, for MLflow and papers."""
    history, kept, confusion = results.history, content.kept_epoch(results), content.confusion(results)
    panels = [figures.loss_panel(history, kept), figures.accuracy_panel(history, kept)]
    if history["val_loss"].notna().any():
        panels.append(figures.validation_panel(history, kept))
    auroc, precision = (content.curve_labels(results, key) for key in ("auroc", "average_precision"))
    height = figures.curves_height(auroc)
    drawn = {
        "curves": figures.draw(*panels),
        "confusion": figures.draw(figures.confusion_panel(confusion, results.classes, False), height=4.2),
        "confusion_normalised": figures.draw(figures.confusion_panel(confusion, results.classes, True), height=4.2),
        "roc": figures.draw(figures.roc_panel(results.roc, auroc), height=height),
        "precision_recall": figures.draw(figures.precision_recall_panel(results.precision_recall, precision),
                                         height=height),
    }
    return drawn | ({"steps": figures.draw(figures.steps_panel(results.steps))} if len(results.steps) else {})


def row_shares(confusion: np.ndarray) -> np.ndarray:
    """float64 (classes, classes): each count as a share of its row; a class without images has zeros."""
    shares: np.ndarray = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares


def format_figure(value: float | None) -> str:
    """Three decimals, a dash for what is undefined."""
    return "\N{EN DASH}" if value is None else f"{value:.3f}"
