"""`fovea push`: images, results and restorable trainings to a remote of DVC, so that no other machine repeats them.

`dvc push --run-cache` sends DVC's notes of all runs of stages, but of their outputs only those of the workspace, and
none with `cache: false` (the small results, which git holds): without these no other machine can restore a run.
"""

from collections.abc import Iterator
from typing import Any

from dvc.exceptions import DvcException, NotDvcRepoError, UploadError
from dvc.repo import Repo

from fovea.errors import UserError, one_line


def push(remote: str | None) -> None:
    """Send what `remote` does not have yet, by default the project's default remote, and print the number of files.

    Raises UserError outside a project, and where DVC has no such remote or can't write there.
    """
    try:
        with Repo() as repo:
            sent = repo.push(remote=remote) + sum(_push_runs(repo, remote))
    except NotDvcRepoError:
        raise UserError("this is no DVC project; run from the folder that holds params.yaml") from None
    except (DvcException, OSError) as error:
        raise UserError(f"DVC: {one_line(error)}; docs/team.md says how a remote is set up") from error
    print(f"push: {sent} files sent" if sent else "push: nothing new")


def _push_runs(repo: Repo, remote: str | None) -> Iterator[int]:
    """Send the runs of stages and those of their outputs that are here; yields numbers of files.

    Raises UploadError if the remote does not take all, which DVC itself only logs here."""
    runs = repo.stage_cache.push(remote)
    notes = repo.cloud.get_remote_odb(remote, "push", hash_name="md5-dos2unix")
    there = {notes.fs.name(path) for path in notes.fs.find(notes.fs.join(notes.path, "runs"))} if runs else set()
    if lost := {note for _, note in runs} - there:
        raise UploadError(len(lost))
    for place, outputs in repo.stage_cache.get_used_objs(runs, force=True).items():  # without folders that are gone
        here: list[Any] = [each for each in outputs if repo.cache.local.exists(each.value)]
        sent = repo.cloud.push(here, remote=remote, odb=place)
        if sent.failed:
            raise UploadError(len(sent.failed))
        yield len(sent.transferred)
