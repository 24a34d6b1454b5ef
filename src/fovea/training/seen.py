"""What the model gets of one image: its stored rows, and what each epoch makes of them. The pixels are those of a CPU,
before `train.scaling`; a GPU interpolates by itself, which changes them by less than a grey level on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fovea.cache.read import Cache
from fovea.errors import UserError
from fovea.training.scaling import mean_pixel
from fovea.training.transforms import Draws, apply_cpu, centred, draw, draw_keys, erase

if TYPE_CHECKING:
    from fovea.params.train import TrainParams

UNCHANGED = {"val": "in validation", "test": "in the test"}  # what gets the centre of the stored row, nothing else


class Input(NamedTuple):
    """What becomes of the stored rows: uint8 (rows, crop, crop, 3)."""

    title: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Seen:
    """One image as it is stored, uint8 (rows, size, size, 3), and as the model gets it."""

    image: str
    label: str
    split: str
    variants: list[int]  # of the rows; 0 is the image itself
    more: int            # rows that are left out
    stored: np.ndarray
    inputs: list[Input]


def see(cache: Cache, image: str, params: "TrainParams", epochs: Sequence[int], most: int) -> Seen:
    """The first `most` rows of `image`, which the cache must have, and their draws in `epochs` of the full phase.

    Raises UserError if `train.crop` is larger than the stored rows.
    """
    size = cache.attrs["size"]
    if params.crop and params.crop > size:
        raise UserError(f"train.crop: {params.crop} px is larger than the {size} px of the rows in the cache")
    rows = np.flatnonzero(cache.index["image"] == image)
    shown = cache.index.iloc[rows[:most]]
    first = shown.iloc[0]
    stored = cache.take(rows[:most])
    inputs = inputs_of(stored, draw_keys(shown), first["split"], params, epochs)
    return Seen(image, first["label"], first["split"], shown["variant"].tolist(), len(rows[most:]), stored, inputs)


def inputs_of(
    stored: np.ndarray, keys: list[str], split: str, params: "TrainParams", epochs: Sequence[int]
) -> list[Input]:
    """Inputs made of stored rows (rows, size, size, 3), whose `keys` are those of `draw_keys`."""
    count, size = stored.shape[:2]
    crop = params.crop or size
    centre = _made(stored, centred(size, crop, count), params)
    if split != "train":
        return [Input(UNCHANGED[split], centre)]
    drawn = [draw(params.transforms, size, crop, params.seed, epoch, keys) for epoch in epochs]
    full = [Input(f"epoch {epoch}", _made(stored, draws, params)) for epoch, draws in zip(epochs, drawn, strict=True)]
    return [Input("frozen phase", centre), *full] if params.frozen.epochs else full


def _made(stored: np.ndarray, draws: Draws, params: "TrainParams") -> np.ndarray:
    """Rows (n, size, size, 3) as (n, crop, crop, 3) uint8; erased is what `train.scaling` maps to 0."""
    crop = params.crop or stored.shape[1]
    made = np.stack([pixels.copy() for pixels in apply_cpu(stored, draws, crop)])
    for pixels, box in zip(made, draws.erased, strict=True):
        erase(pixels, box, mean_pixel(params.scaling))
    return made


def full_epochs(params: "TrainParams", most: int) -> list[int]:
    """The first `most` epochs of the full phase, counted from 1 with the frozen phase, if that is not stopped early."""
    start = params.frozen.epochs + 1
    return list(range(start, start + min(most, params.full.epochs)))
