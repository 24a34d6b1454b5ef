"""`fovea sync`: every result that the project holds gets exactly one run in MLflow."""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fovea.errors import UserError
from fovea.revisions import cache_folder
from fovea.store import locked, store_folder
from fovea.sync.deliver import Outcome, deliver
from fovea.sync.ledger import Ledger
from fovea.sync.results import Found
from fovea.tracking import delivery, store
from fovea.tracking.client import connect
from fovea.tracking.provenance import project_root, scrub
from fovea.tracking.trouble import trouble

SAMPLE = 25  # known runs that each call looks at again, in turn: 10 ms each


def sync(all_again: bool) -> None:
    """Walk the results in the project, make and complete runs, and print what was done.

    Of known results a few are looked at again in each call, all of them if `all_again`.
    Raises UserError outside a project, or if the store does not answer or takes no more.
    """
    root = project_root()
    if not (root / "dvc.yaml").is_file():
        raise UserError(f"{root}: is no project of Fovea; run from the folder that holds dvc.yaml")
    with locked(store_folder("sync")):  # two at once would make two runs of one result
        found = Found(root)
        outcomes = list(_deliver_all(found, all_again))
    print("\n".join(describe(outcomes)))
    for line in warnings(found, outcomes):
        print(f"warning: {line}", file=sys.stderr)


def _deliver_all(found: Found, all_again: bool) -> Iterator[Outcome]:
    """What became of each result."""
    @cache
    def folder() -> Path:
        return cache_folder(found.root)

    uri = store.store_uri()
    ledger = Ledger(uri)
    try:
        client = connect()
        known = {token: ledger.outcome(result) for token, result in found.results.items()
                 if not all_again and ledger.knows(result, folder)}
        for token in _changed(client, ledger, known):
            del known[token]
        yield from known.values()
        found.read_ahead([result for token, result in found.results.items() if token not in known])
        for result in (result for token, result in found.results.items() if token not in known):
            outcome = deliver(client, found, result, folder)
            ledger.keep(outcome)
            yield outcome
    except UserError:
        raise
    except Exception as error:  # whatever MLflow, SQLAlchemy, requests or the disk raise
        raise UserError(f"MLflow: {scrub(uri)}: {trouble(error, uri)}, then `uv run fovea sync` goes on from there"
                        ) from error
    finally:
        ledger.write()


def _changed(client: Any, ledger: Ledger, known: Mapping[str, Outcome]) -> list[str]:
    """Tokens of the known results whose runs in the store are not as sync left them, by a sample; all of them if one
    run of the sample is gone: the store may be an earlier one."""
    sample = {token: known[token] for token in ledger.oldest(known, SAMPLE)}
    states = delivery.states(client, [str(outcome.run_id) for outcome in sample.values()])
    for outcome in sample.values():
        ledger.keep(outcome)
    if any(outcome.run_id not in states for outcome in sample.values()):
        return list(known)
    return [token for token, outcome in sample.items() if states[str(outcome.run_id)] != outcome.state]


def describe(outcomes: list[Outcome]) -> list[str]:
    """A line for each run that was made or completed, and one for the sum."""
    changed = [outcome for outcome in outcomes if outcome.made or outcome.done]
    lines = [f"{'made' if outcome.made else 'completed'} {outcome.run_id} for {outcome.result.holder.name}: "
             f"{', '.join(outcome.done)}" for outcome in changed]
    made, recorded = sum(outcome.made for outcome in outcomes), sum(bool(outcome.run_id) for outcome in outcomes)
    what = f"{made} made, {len(changed) - made} completed" if changed else "nothing changed"
    return [*lines, f"{len(outcomes)} results, {recorded} with a run in MLflow: {what}"]


def warnings(found: Found, outcomes: list[Outcome]) -> list[str]:
    """What keeps a result from a run, or a run from being complete."""
    lines = [f"{outcome.result.holder.name}: {outcome.problem}" for outcome in outcomes if outcome.problem]
    lines += [f"{outcome.result.holder.name}: its run lacks {', '.join(outcome.absent)}, not in DVC's cache here; "
              "`dvc fetch` what a remote has, then sync again" for outcome in outcomes if outcome.absent]
    lines += [f"{name}: its mlflow_run.json names no training; run it again" for name in found.unknown]
    return lines
