"""Section `split`: shares of the parts, and what is done about what the images give away."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from fovea.params.section import Section


class SplitParams(Section):
    seed: Annotated[int, Field(ge=0)]
    test: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(ge=0, lt=1)]
    duplicates: Literal["keep", "first", "drop-conflicts"]
    leaks: Literal["drop", "keep", "fail"]
    shortcuts: Literal["warn", "fail", "off"]

    @field_validator("shortcuts", mode="before")
    @classmethod
    def _off_as_text(cls, value: object) -> object:
        """YAML 1.1 reads a bare off as false."""
        return "off" if value is False else value
