"""Section `split`: shares of the parts, and what is done about what the images give away."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fovea.params.section import Section


class SplitParams(Section):
    seed: Annotated[int, Field(ge=0)]
    test: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(ge=0, lt=1)]
    folds: Annotated[int, Field(ge=0)]
    fold: Annotated[int, Field(ge=0)]
    duplicates: Literal["keep", "first", "drop-conflicts"]
    leaks: Literal["drop", "keep", "fail"]
    shortcuts: Literal["warn", "fail", "off"]

    @field_validator("shortcuts", mode="before")
    @classmethod
    def _off_as_text(cls, value: object) -> object:
        """YAML 1.1 reads a bare off as false."""
        return "off" if value is False else value

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> "SplitParams":
        if self.folds == 1:
            raise ValueError("folds: must be 0, for none, or at least 2")
        if self.fold >= max(self.folds, 1):
            raise ValueError(f"fold: must be 0 to {max(self.folds, 1) - 1} with folds: {self.folds}")
        return self
