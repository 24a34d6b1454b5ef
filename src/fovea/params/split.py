"""Section `split`: shares of the parts."""

from typing import Annotated

from pydantic import Field

from fovea.params.section import Section


class SplitParams(Section):
    seed: Annotated[int, Field(ge=0)]
    test: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(ge=0, lt=1)]
