"""Section `augment`: how a photograph becomes the rows of the cache."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fovea.params.section import Section

Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, lt=1)]


class VariantParams(Section):
    """Strengths of the rendered augmentations; 0 switches one off."""

    hflip: Probability
    vflip: Probability
    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: tuple[float, float]
    brightness: Strength
    contrast: Strength
    saturation: Strength
    blur: Annotated[float, Field(ge=0)]

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError("must be two numbers, smallest first, both above 0")
        return scale


class SquareParams(Section):
    """What makes the square of an image, of those that are trained on and of new ones alike.

    `image_size`, not `size`: DVC's run cache leaves out every key of that name, and would restore the pixels of another
    size (treeverse/dvc issue 10296).
    """

    image_size: Annotated[int, Field(ge=8, le=4096)]
    crop: Literal["fundus", "centre", "none"]
    fit: Literal["pad", "squash"]
    interpolation: Literal["bicubic", "bilinear"]
    exact: bool
    normalise: Literal["none", "ben_graham", "clahe_lightness", "clahe_green"]


class AugmentParams(SquareParams):
    seed: Annotated[int, Field(ge=0)]
    variants: Annotated[int, Field(ge=0)]
    balance: bool
    render: VariantParams

    @model_validator(mode="after")
    def _variants_are_used(self) -> "AugmentParams":
        if self.balance and self.variants == 0:
            raise ValueError("balance: true needs variants of at least 1: it renders more of them for rare classes")
        return self
