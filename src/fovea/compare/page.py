"""A comparison as one HTML file that asks no host for anything; names of classes and experiments are escaped."""

from fovea.compare import tables
from fovea.compare.difference import mcnemar, sentence, what_changed
from fovea.compare.tables import Comparison
from fovea.report import panels
from fovea.report.charts import Chart, chart
from fovea.report.environment import environment, read_script, source_hash
from fovea.versions import summarise

CURVE = "val_balanced_accuracy"  # of history.csv


def render(found: Comparison) -> str:
    script = read_script("curves.js")
    return environment(autoescape=True).get_template("compare.html").render(
        c=found, tables=tables, sentence=sentence, what_changed=what_changed, mcnemar=mcnemar, summarise=summarise,
        charts=_charts(found), script=script, script_hash=source_hash(script))


def _charts(found: Comparison) -> list[Chart]:
    """Validation by epoch of all sides that have it."""
    histories = {side.name: side.history for side in found.sides
                 if side.history is not None and side.history[CURVE].notna().any()}
    if not histories:
        return []
    best = ", ".join(f"{name} {history[CURVE].max():.3f}" for name, history in histories.items())
    panel = panels.histories_panel(histories, CURVE, "balanced accuracy")
    return [chart("Validation by epoch", f"Highest balanced accuracy of validation: {best}.", panel,
                  ["epoch", "balanced accuracy"])]
