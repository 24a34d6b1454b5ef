"""The description of a run in the MLflow UI: Markdown, with links to the runs and files that belong to it.

MLflow's client is passed in.
"""

import html
import re
from typing import Any

from fovea.tracking.provenance import digest_of, scrub

PARENT = "mlflow.parentRunId"                        # tag: makes this run a child in the UI
NOTE, WRITTEN = "mlflow.note.content", "fovea.note"   # tags: the description; the digest of the one written here
RULE = "\n\n---\n\n"                                  # above the links
LONGEST_NOTE = 4000                                  # characters, links excepted; MLflow takes 8000
REPORT = "report/report.html"


def write_note(client: Any, run_id: str, text: str | None = None) -> None:
    """Describe a run by `text`, or by what stands there, above links to its parent and to its report.

    A description that somebody has edited in the UI stays as it is.
    """
    run = client.get_run(run_id)
    there = run.data.tags.get(NOTE, "")
    if there and digest_of(there) != run.data.tags.get(WRITTEN):
        return
    pages = f"#/experiments/{run.info.experiment_id}/runs/"  # seen from any page of the UI
    links: list[str] = []
    if parent := run.data.tags.get(PARENT):
        links.append(f"[{plain(client.get_run(parent).info.run_name)}]({pages}{parent}), the parent of this run")
    if any(file.path == REPORT for file in client.list_artifacts(run_id, "report")):
        links.append(f"[report]({pages}{run_id}/artifacts/{REPORT})")
    body = there.partition(RULE)[0] if text is None else scrub(text)[:LONGEST_NOTE]
    note = body + (RULE + " · ".join(links) if links else "")
    if note != there:
        client.set_tag(run_id, NOTE, note)
        client.set_tag(run_id, WRITTEN, digest_of(note))


def plain(text: str) -> str:
    """`text` as Markdown that shows it: a name of a file or class must not become a picture or a link."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+\-.!])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
    return re.sub("[|~:]", lambda sign: f"&#{ord(sign[0])};", escaped)  # MLflow's Markdown takes no backslash for these
