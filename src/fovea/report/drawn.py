"""The sheet of what the model gets: training images of each class, as they are stored and as training drew them."""

from dataclasses import dataclass

from fovea.report.pictures import Picture, data_uri, originals, spread
from fovea.report.results import Results
from fovea.training.seen import Seen, see

MOST_CLASSES, MOST_IMAGES, MOST_ROWS, EPOCHS = 8, 6, 3, 3  # shown; each class has at least one image
MOST_UNCROPPED = 6
TILE = 144  # px, of a small copy


@dataclass(frozen=True)
class Tile:
    title: str
    alt: str
    uri: str


@dataclass(frozen=True)
class Drawn:
    """One image: a line for each stored row, which begins with the row and goes on with what the model got of it."""

    image: str
    lines: list[list[Tile]]
    more: int  # rows that are not shown


def drawn(results: Results) -> list[tuple[str, list[Drawn]]]:
    """Class and its images, for the first classes. The epochs are the first of the full phase that were trained."""
    classes = results.classes[:MOST_CLASSES]
    history = results.history
    epochs = history.loc[history["phase"] == "full", "epoch"].head(EPOCHS).tolist()
    return [(name, [_drawn(see(results.cache, image, results.train, epochs, MOST_ROWS))
                    for image in _images(results, name, max(1, MOST_IMAGES // len(classes)))]) for name in classes]


def uncropped(results: Results) -> list[Picture]:
    """The first of the images in which the crop found nothing."""
    return originals(results.cache, results.augment["uncropped_images"][:MOST_UNCROPPED])


def _images(results: Results, label: str, count: int) -> list[str]:
    index = results.cache.index
    return index["image"].iloc[spread(index, label, count)].tolist()


def _drawn(seen: Seen) -> Drawn:
    return Drawn(seen.image, [_line(seen, row) for row in range(len(seen.variants))], seen.more)


def _line(seen: Seen, row: int) -> list[Tile]:
    variant = seen.variants[row]
    of = f"Training image {seen.image} of {seen.label}" + (f", variant {variant}" if variant else "")
    tiles = [(f"variant {variant}" if variant else "stored", f"{of}, stored", seen.stored)]
    tiles += [(title, f"{of}, {title}", pixels) for title, pixels in seen.inputs]
    return [Tile(title, alt, data_uri(pixels[row], TILE)) for title, alt, pixels in tiles]
