"""Section `report`: how much the report shows."""

from typing import Annotated

from pydantic import Field

from fovea.params.section import Section


class ReportParams(Section):
    title: str
    intended_use: str
    examples: Annotated[int, Field(ge=0)]
    worst: Annotated[int, Field(ge=0)]
