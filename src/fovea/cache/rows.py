"""The rows of a shard: those that are in the store are taken from there, the others are rendered, image by image."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fovea.cache.known import KnownRows, StoredRow
from fovea.cache.picture import make_square
from fovea.cache.plan import ROWS_AT_ONCE
from fovea.cache.render import render
from fovea.errors import UserError
from fovea.params.augment import AugmentParams
from fovea.raw import RawFiles, digest


class Shard(NamedTuple):
    """Columns of the index for the rows of one shard, in their order there, each (n,)."""

    name: str              # in the store
    images: np.ndarray
    digests: np.ndarray
    variants: np.ndarray
    keys: np.ndarray
    squares: np.ndarray    # keys of the squares that the rows are made from


# Rows of a shard from the number on, in pieces, and how many of each piece had to be rendered
RowsOf = Callable[[Shard, int], Iterator[tuple[list[StoredRow], int]]]


@dataclass(frozen=True)
class Sources:
    """What rows are made from."""

    files: RawFiles
    known: KnownRows
    params: AugmentParams

    def rows_of(self, shard: Shard, first: int) -> Iterator[tuple[list[StoredRow], int]]:
        """As `RowsOf`, in the thread that asks."""
        for piece in pieces(shard, first):
            wanted = look_up(piece, self.known)
            yield wanted.filled(render_missing(wanted.missing, self.files, self.params) if wanted.missing else [])


class Missing(NamedTuple):
    """Rows of one image that have to be rendered."""

    image: str
    digest: str
    variants: list[int]
    square: StoredRow | None  # that they are made from, if it is known


class Wanted(NamedTuple):
    """A piece of a shard: its rows, None where they are not known, and what these are."""

    rows: list[StoredRow | None]
    missing: Missing | None

    def filled(self, rendered: list[StoredRow]) -> tuple[list[StoredRow], int]:
        """All rows with the `rendered` in their places, and how many those are."""
        fresh = iter(rendered)
        return [row or next(fresh) for row in self.rows], len(rendered)


def pieces(shard: Shard, first: int) -> Iterator[Shard]:
    """Rows of the same image that stand together, from row `first` on, at most `ROWS_AT_ONCE`: memory is bounded."""
    images, start = shard.images, first
    for end in range(first + 1, len(images) + 1):
        if end == len(images) or images[end] != images[start] or end - start == ROWS_AT_ONCE:
            yield Shard(shard.name, *(column[start:end] for column in shard[1:]))
            start = end


def look_up(piece: Shard, known: KnownRows) -> Wanted:
    """What is known of a piece, and what is missing."""
    rows = [known.read(key) for key in piece.keys]
    variants = [int(variant) for row, variant in zip(rows, piece.variants, strict=True) if row is None]
    if not variants:
        return Wanted(rows, None)
    return Wanted(rows, Missing(piece.images[0], piece.digests[0], variants, known.read(piece.squares[0])))


def render_missing(missing: Missing, files: RawFiles, params: AugmentParams) -> list[StoredRow]:
    """A row for each variant: a function of the image and the parameters. Raises UserError as `decode_square`."""
    square = missing.square or decode_square(missing, files, params)
    return [
        StoredRow(render(square.pixels, params.seed, missing.digest, variant, params.render), square.cropped)
        if variant else square
        for variant in missing.variants
    ]  # fmt: skip


def decode_square(missing: Missing, files: RawFiles, params: AugmentParams) -> StoredRow:
    """The square of an image from its raw file. Raises UserError if that is not the one of the manifest."""
    content = files.read(missing.image)
    if digest(content) != missing.digest:
        raise files.changed(missing.image)
    try:
        return StoredRow(*make_square(content, params))
    except UserError as error:
        raise UserError(f"{files.shown(missing.image)}: {error}; replace or remove it and run dvc repro") from None
