"""Section `machine`: what cannot change a result by design, so no stage depends on it."""

from typing import Annotated, Literal

from pydantic import Field

from fovea.params.section import Section


class MachineParams(Section):
    device: Literal["auto", "cpu", "cuda", "mps"]
    engine: Literal["local", "ray"]
    workers: Annotated[int, Field(ge=0)]
    shards: str | None
    checkpoint: Annotated[float, Field(ge=0)]  # s
    launcher: str | None
    compile: bool
