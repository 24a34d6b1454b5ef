"""Section `ingest`: limits on what is taken in."""

from typing import Annotated

from pydantic import Field

from fovea.params.section import Section


class IngestParams(Section):
    max_pixels: Annotated[int, Field(gt=0)]
    max_rejected: Annotated[float, Field(ge=0, le=1)]
