"""Section `evaluate`: what is computed from the predictions."""

from typing import Annotated, Literal

from pydantic import Field

from fovea.params.section import Section

Share = Annotated[float, Field(gt=0, lt=1)]


class OperatingPoints(Section):
    sensitivity: list[Share]
    specificity: list[Share]


class EvaluateParams(Section):
    curve_points: Annotated[int, Field(ge=2)]
    views: Literal[1, 2, 8]
    operating_points: OperatingPoints
    subgroups: list[str]
    explain: Annotated[int, Field(ge=0)]
    robustness: bool
