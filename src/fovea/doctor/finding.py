"""What a check of `fovea doctor` is given and what it answers, and a limit for its patience."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import ValidationError

from fovea.params.section import SectionT

SECONDS = 10  # that somebody else has for an answer
GB = 1e9
Answer = TypeVar("Answer")
Verdict = Literal["ok", "warning", "error", "skipped"]


class Finding(NamedTuple):
    """`found` is one line, `remedy` another one that says what to do, "" where nothing is to be done."""

    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Place:
    """Where doctor looks: the folder of a project, None outside of one, and its params.yaml as far as it is YAML."""

    root: Path | None
    sections: Mapping[str, Any]

    def read(self, name: str, schema: type[SectionT]) -> SectionT | None:
        """A section of params.yaml, None where it is not there or wrong, which the check of params.yaml says."""
        try:
            return schema.model_validate(self.sections.get(name))
        except ValidationError:
            return None

    @property
    def images(self) -> Path | None:
        """The folder of the image set, None where params.yaml does not name one."""
        dataset = self.sections.get("dataset")
        name = dataset.get("name") if isinstance(dataset, Mapping) else None
        return self.root / "data/raw" / name if self.root and isinstance(name, str) and name else None


def within(seconds: float, ask: Callable[[], Answer]) -> Answer:
    """What `ask()` returns or raises; TimeoutError if it takes longer.

    Nothing can stop it then, such as a read from a network disk that is gone: its thread ends with the process.
    """
    answer: Future[Answer] = Future()
    Thread(target=_fill, args=(answer, ask), daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():  # its own one
            raise
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def _fill(answer: "Future[Answer]", ask: Callable[[], Answer]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:  # SystemExit of a library as well
        answer.set_exception(error)
