"""The report as one HTML file that asks no host for anything, and its summary as Markdown; every name from the image
set is escaped."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fovea.report import audit, changes, charts, content, drawn, figures, gallery, panels, trust
from fovea.report.environment import environment, read_script, source_hash
from fovea.report.pictures import examples
from fovea.report.results import Results


def render(results: Results, explanations: Path) -> str:
    """The page. It opens from disk: images, figures and script are inside it. `explanations` holds the heat maps."""
    script = read_script("curves.js", "gallery.js")
    confusion = content.confusion(results)
    return environment(autoescape=True).get_template("page.html").render(
        **_shared(results), audit=audit, drawn=drawn, drawn_charts=charts, gallery=gallery, confusion=confusion,
        shares=row_shares(confusion), shorten=figures.shorten, shots=gallery.gallery(results, explanations),
        script=script, script_hash=source_hash(script),
        examples=[(name, examples(results.cache, name, results.params.examples)) for name in results.classes],
    )


def summarise(results: Results) -> str:
    """The first screen of the page as Markdown, for a pull request and the run in MLflow."""
    return environment(autoescape=False).get_template("summary.md").render(**_shared(results))


def draw_figures(results: Results) -> dict[str, Figure]:
    """The figures of the report by name, on white, for MLflow and papers."""
    history, kept, confusion = results.history, charts.kept_epoch(results), content.confusion(results)
    curves = [panels.loss_panel(history, kept), panels.accuracy_panel(history, kept)]
    if history["val_loss"].notna().any():
        curves.append(panels.validation_panel(history, kept))
    auroc, precision = (charts.curve_labels(results, key) for key in ("auroc", "average_precision"))
    height = panels.curves_height(auroc)
    found = {
        "curves": figures.draw(*curves),
        "confusion": figures.draw(panels.confusion_panel(confusion, results.classes, False), height=4.2),
        "confusion_normalised": figures.draw(panels.confusion_panel(confusion, results.classes, True), height=4.2),
        "roc": figures.draw(panels.roc_panel(results.roc, auroc), height=height),
        "precision_recall": figures.draw(panels.precision_recall_panel(results.precision_recall, precision),
                                         height=height),
        "reliability": figures.draw(panels.reliability_panel(*results.reliability), height=4.2),
    }
    return found | ({"steps": figures.draw(panels.steps_panel(results.steps))} if len(results.steps) else {})


def row_shares(confusion: np.ndarray) -> np.ndarray:
    """float64 (classes, classes): each count as a share of its row; a class without images has zeros."""
    shares: np.ndarray = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares


def _shared(results: Results) -> dict[str, Any]:
    """What both templates need."""
    return {"r": results, "content": content, "trust": trust, "changed": changes}
