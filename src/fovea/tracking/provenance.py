"""Where a run comes from: parameters as flat text, commit, version of the images, of libraries. Without MLflow."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

LONGEST_VALUE = 6000  # characters that MLflow keeps of a parameter
LONGEST_NAME = 250
TABLES = {"dataset.labels", "dataset.splits"}  # their keys are the user's data, so they stay one value
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, where PyYAML has it
PACKAGES = ("fovea", "torch", "torchvision", "dvc")


def project_root() -> Path:
    """The project whose store a run goes to: the main checkout, even in `dvc exp run --temp` and in queue workers."""
    return Path(os.environ["DVC_ROOT"]) if os.environ.get("DVC_ROOT") else workspace_root()


def workspace_root() -> Path:
    """Nearest folder upwards that holds `.dvc`, else the current one. In `--temp` it is the temporary copy."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def flatten_params(sections: Mapping[str, Any]) -> dict[str, str]:
    """Sections of params.yaml as {"train.full.lr": "0.001"}: text as it stands, all else, lists too, as compact JSON.

    A value over 6000 characters is cut and ends in "..." and the digest of the whole.
    """
    return {safe_name(name): _cut(scrub(text_of(value))) for name, value in _leaves(sections)}


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in TABLES:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 20]}...{digest_of(value)[:16]}"


def digest_of(value: Any) -> str:
    """40 hex digits over the JSON of `value`, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def flatten_metrics(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of a nested mapping as {"test/sensitivity/mild": 0.8}; whatever is no finite number is left out."""
    flat: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten_metrics(value, f"{prefix}{_safe_part(str(key))}/")
        elif isinstance(value, int | float) and abs(value) < float("inf"):  # NaN compares as false
            flat[safe_name(f"{prefix}{_safe_part(str(key))}")] = float(value)
    return flat


def _safe_part(part: str) -> str:
    """A class name must not add a level or climb one: MLflow refuses "a//b" and "../a"."""
    return safe_name(part.replace("/", "|") if part.strip(".") else "|")


def safe_name(name: str) -> str:
    """`name` with only what MLflow allows; if that changes it, a digest keeps "a+" and "a*" apart."""
    safe = re.sub(r"[^\w\-. :/]", "_", name)[: LONGEST_NAME - 10]
    return name if safe == name else f"{safe}-{digest_of(name)[:4]}"


SECRETS = (  # what is hidden, and what stands there instead; a doubtful case is hidden
    # user:password@ of an address; secrets in its query, as in signed ones of S3; what is called so anywhere
    (r"(\w[\w+.-]*://)(?:[^\s'\"]*@|[^\s\"/?#]*@)", r"\1***@"),  # an apostrophe may stand in a password
    (r"(?i)([?&;](?:[\w-]*(?:password|passwd|token|secret|signature|credential|key|key_?id)|sig|auth)=)[^&;\s'\"]*",
     r"\1***"),
    (r"(?i)((?:password|passwd|token|secret|(?:api|access)_?key(?:_id)?)[\\\\\"']*\s*[=:]\s*[\\\\\"']*)[^\s'\",&;}]+",
     r"\1***"),
    # An Authorization header; id of an AWS key, with the key; tokens of GitHub, GitLab, Hugging Face and others
    (r"(?i)(\bbearer\s+)[\w+/=.~-]{16,}", r"\1***"),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}(?::[\w+/]{40})?", "***"),
    (r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|dapi)[\w-]{16,}", "***"),
)  # fmt: skip


def scrub(text: str) -> str:
    """`text` without the user:password@ of addresses, secrets in their query, keys of AWS and tokens."""
    for pattern, instead in SECRETS:
        text = re.sub(pattern, instead, text)
    return text


def scrub_values(values: Any) -> Any:
    """Plain values with every text scrubbed, at any depth."""
    if isinstance(values, Mapping):
        return {key: scrub_values(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [scrub_values(value) for value in values]
    return scrub(values) if isinstance(values, str) else values


def git_facts(root: Path) -> dict[str, str]:
    """`git.commit`, `git.branch` (absent on a detached HEAD) and `git.dirty`; empty outside a git repository.

    Dirty: a tracked file differs that DVC does not write. A run itself changes dvc.lock, metrics and .gitignore.
    """
    commit = git(root, "rev-parse", "--verify", "HEAD")
    if not commit:
        return {}
    branch = git(root, "symbolic-ref", "--short", "HEAD")
    by_dvc = [f":(exclude,literal){path}" for path in _outputs(root)]
    by_dvc += [":(exclude,glob)**/dvc.lock", ":(exclude,glob)**/.gitignore"]
    changed = git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *by_dvc)
    facts = {"git.commit": commit, "git.branch": branch, "git.dirty": str(changed != "").lower()}
    return {name: value for name, value in facts.items() if value}


def baseline_branch() -> dict[str, str]:
    """`git.branch` of an experiment in a temporary copy, which has a detached HEAD: that of the main checkout.

    Empty if that has left the commit from which the experiment started, and outside experiments.
    """
    root, baseline = project_root(), os.environ.get("DVC_EXP_BASELINE_REV")
    there = baseline and git(root, "rev-parse", "--verify", "HEAD") == baseline
    branch = git(root, "symbolic-ref", "--short", "HEAD") if there else None
    return {"git.branch": branch} if branch else {}


def git(root: Path, *arguments: str) -> str | None:
    """Output of git as UTF-8, what is not spelled out; None if git is missing or refuses."""
    try:
        command = ["git", "-c", "log.showSignature=false", *arguments]  # a signed commit would print more lines
        result = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", errors="backslashreplace",
                                timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _outputs(root: Path) -> set[str]:
    """Files and folders that the stages of dvc.lock write."""
    return {out["path"] for stage in _stages(root) for out in stage.get("outs", [])}


def _stages(root: Path) -> list[dict[str, Any]]:
    lock = root / "dvc.lock"
    return list(read_stages(lock.read_text(encoding="utf-8")).values()) if lock.is_file() else []


def read_stages(lock: str) -> dict[str, dict[str, Any]]:
    """The stages of a dvc.lock by name. Costs 40 ms for a pipeline such as ours."""
    return dict((yaml.load(lock, LOADER) or {}).get("stages") or {})


def dvc_md5(folder: Path, root: Path) -> str | None:
    """DVC's md5 of the image set `folder` (relative to `root`): as a stage last read it, else as `dvc add` wrote it."""
    if (version := read_version(_stages(root), folder)) is not None:
        return version
    pointer = root / f"{folder}.dvc"
    if not pointer.is_file():
        return None
    return yaml.safe_load(pointer.read_text(encoding="utf-8"))["outs"][0].get("md5")


def read_version(stages: Iterable[Mapping[str, Any]], folder: Path) -> str | None:
    """DVC's md5 of `folder` as the first of `stages`, of a dvc.lock, that depends on it read it."""
    for stage in stages:
        for dependency in stage.get("deps", []):
            if dependency["path"] == folder.as_posix():
                return dependency.get("md5")
    return None


def experiment_tags() -> dict[str, str]:
    """`dvc.experiment` and `dvc.baseline`, which DVC sets in the environment of an experiment."""
    names = {"dvc.experiment": "DVC_EXP_NAME", "dvc.baseline": "DVC_EXP_BASELINE_REV"}
    return {tag: os.environ[name] for tag, name in names.items() if os.environ.get(name)}


def version_tags() -> dict[str, str]:
    """`version.torch` and so on, read from the installed packages' metadata: nothing is imported."""
    versions = {"version.python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[f"version.{package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # a checkout that is not installed
    return versions
