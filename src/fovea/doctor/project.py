"""The project itself: its git repository, params.yaml, and what DVC has of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from fovea.doctor.finding import SECONDS, Finding, Place
from fovea.errors import UserError, one_line
from fovea.params.machine import MachineParams
from fovea.params.section import load
from fovea.store import library_version


def check_git(place: Place) -> Iterator[Finding]:
    """A repository with a commit, and a name for the next ones: experiments are commits."""
    assert place.root
    try:
        version = _git(place.root, "version")[1].removeprefix("git version ")
    except FileNotFoundError:
        yield Finding("error", "git is not installed, and DVC does nothing without it", "install git")
        return
    done, said = _git(place.root, "rev-parse", "--show-toplevel")
    if not done:
        dubious = "dubious ownership" in said
        yield Finding("error", said, f"git config --global --add safe.directory {place.root}" if dubious else
                      "git init && git add -A && git commit -m Start")
        return
    commit = _git(place.root, "rev-parse", "--verify", "--short", "HEAD")
    if commit[0]:
        yield Finding("ok", f"git {version}, at {commit[1]}")
    else:
        yield Finding("warning", "the repository has no commit, which experiments start from",
                      "git add -A && git commit -m Start")
    if not _git(place.root, "var", "GIT_COMMITTER_IDENT")[0]:
        yield Finding("warning", "git does not know your name, without which it commits nothing",
                      'git config --global user.name "..." && git config --global user.email "..."')


def _git(root: Path, *arguments: str) -> tuple[bool, str]:
    """Whether the command succeeds, and the first line of what it says."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=SECONDS,
                          stdin=subprocess.DEVNULL, check=False)
    return done.returncode == 0, ((done.stdout if done.returncode == 0 else done.stderr).strip() or "?").splitlines()[0]


def check_params(place: Place) -> Iterator[Finding]:
    """Every mistake in params.yaml."""
    try:
        load("machine", MachineParams)
        yield Finding("ok", f"params.yaml, dataset.name: {place.sections['dataset']['name']}")
    except UserError as error:
        yield Finding("error", str(error), "docs/parameters.md says what is allowed")


def check_dvc(place: Place) -> Iterator[Finding]:
    """Whether DVC can read the project, and whether a lock is left that keeps it from working."""
    from dvc.repo import Repo

    assert place.root
    version = library_version("dvc")
    if not (place.root / ".dvc").is_dir():
        yield Finding("error", f"DVC {version}; {place.root} has no .dvc", "uv run dvc init")
        return
    try:
        with Repo(str(place.root)) as repo:
            stages = repo.stage.load_file("dvc.yaml")
            yield from check_lock(Path(str(repo.tmp_dir)) / "rwlock")
        yield Finding("ok", f"DVC {version}, {len(stages)} stages in dvc.yaml")
    except Exception as error:  # of DVC, its schema checker, the YAML parser, git's and the operating system's
        yield Finding("error", f"DVC {version} cannot read the project: {_reason(error)}",
                      "correct that file; git log -p shows how it was")


def _reason(error: BaseException) -> str:
    """What DVC says, and of its causes what it leaves out, such as the line of a file."""
    causes: list[str] = []
    cause: BaseException | None = error
    while cause and len(causes) < 3:
        text = one_line(cause) if isinstance(cause, Exception) else type(cause).__name__
        causes += [] if any(text in each for each in causes) else [text]
        cause = cause.__cause__
    return ": ".join(causes)


def check_lock(path: Path) -> Iterator[Finding]:
    """DVC itself removes the locks of processes that have ended, but not where another process has got the number,
    as in a container that was started again."""
    from fovea.prune.running import read_lock_file

    if not path.exists():
        return
    try:
        held = read_lock_file(path)
    except UserError as error:
        yield Finding("error", str(error))
        return
    readers = [each for several in held.get("read", {}).values() for each in several]
    holders = [*held.get("write", {}).values(), *readers]
    for number, command in sorted({(each["pid"], each["cmd"]) for each in holders}):
        if _is_another(number, command):
            yield Finding("error", f"{path}: a command that has ended keeps DVC out, since process {number} is another "
                          "one now", f"rm {path}")


def _is_another(number: int, command: str) -> bool:
    """Whether there is a process of this number, and it does not run the program of `command`, as DVC wrote it."""
    import psutil

    program = Path(command.split(" ")[0])
    names = {program.name, program.parent.name}  # of `python -m dvc` it is dvc/__main__.py
    try:
        return not names & {Path(word).name for word in psutil.Process(number).cmdline()}
    except psutil.Error:  # it has ended, or is not ours to see
        return False
