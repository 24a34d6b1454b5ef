"""What earlier calls of `fovea sync` saw, so that known results cost no call each. Safe to delete: all is seen anew."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from fovea.files import write_json
from fovea.revisions import cached
from fovea.store import store_folder
from fovea.sync.deliver import Outcome
from fovea.sync.results import Result
from fovea.tracking.provenance import digest_of


class Ledger:
    """By the token of each result: `run`, its `state` then, the `fingerprint` of the result in git, what it `lacks`.

    There is one for each `store`, in this clone. Those that were looked at longest ago come first.
    """

    def __init__(self, store: str) -> None:
        self._path = store_folder("sync") / f"{digest_of(store)[:16]}.json"
        try:
            self._entries: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._entries = {}

    def knows(self, result: Result, cache: Callable[[], Path]) -> bool:
        """Whether nothing of a result has changed in git, and nothing that its run lacks has come into DVC's cache."""
        entry = self._entries.get(result.token)
        if entry is None or entry["fingerprint"] != result.fingerprint():
            return False
        return not any(cached(cache(), digest).is_file() for digest in entry["lacks"].values())

    def outcome(self, result: Result) -> Outcome:
        """That of the last call, with nothing done."""
        entry = self._entries[result.token]
        return Outcome(result, entry["run"], absent=entry["lacks"], state=entry["state"])

    def oldest(self, known: Collection[str], count: int) -> list[str]:
        """The `count` of the tokens `known` that were looked at longest ago."""
        return [token for token in self._entries if token in known][:count]

    def keep(self, outcome: Outcome) -> None:
        """Note a result as looked at just now."""
        self._entries.pop(outcome.result.token, None)
        if outcome.run_id:
            self._entries[outcome.result.token] = {
                "run": outcome.run_id, "state": outcome.state, "lacks": outcome.absent,
                "fingerprint": outcome.result.fingerprint(),
            }  # fmt: skip

    def write(self) -> None:
        write_json(self._path, self._entries)
