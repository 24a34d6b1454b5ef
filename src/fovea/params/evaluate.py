"""Section `evaluate`: what is computed from the predictions."""

from typing import Annotated, Literal

from pydantic import Field

from fovea.params.section import Section


class EvaluateParams(Section):
    curve_points: Annotated[int, Field(ge=2)]
    views: Literal[1, 2, 8]
