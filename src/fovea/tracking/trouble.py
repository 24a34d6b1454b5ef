"""What is wrong with a store, told from its client's error: in one line, with what to do. Without MLflow."""

import re
import textwrap

from fovea.tracking.provenance import scrub

FULL = r"Check free disk space|No space left|File too large|disk is full"
OF_SERVERS = (  # what MLflow's client says of an answer, what that means, and what to do
    (r"error code 401|401 Client Error", "it refuses this user or password",
     "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
    (r"error code 403|403 Client Error", "it does not allow this user to write there",
     "ask who runs it for the permission EDIT"),
    (r"too many 5\d\d error responses|5\d\d Server Error", "it answers, but fails",
     "look into its log: its disk may be full, or its database down"),
    (r"Connection aborted|Connection broken|Broken pipe", "it breaks off",
     "see whether it runs, and its log: its disk may be full, or its database down"),
    (r"Max retries exceeded|timeout exception|no answer within", "it does not answer",
     "start that server or correct MLFLOW_TRACKING_URI"),
)  # fmt: skip


def trouble(error: Exception, uri: str) -> str:
    """Reason and remedy, without credentials: "it does not answer; start that server or ..."."""
    text = " ".join(scrub(str(error)).split())
    if re.search(FULL, text):
        return "its disk is full; free space there"
    if uri.startswith(("http:", "https:")):
        for pattern, reason, remedy in OF_SERVERS:
            if re.search(pattern, text):
                return f"{reason}; {remedy}"
    reason = textwrap.shorten(text, 240, placeholder=" ...") or type(error).__name__
    return f"{reason}; correct that, or set MLFLOW_TRACKING_URI to another store"
