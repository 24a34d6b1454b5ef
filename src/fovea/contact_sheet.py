"""A picture of one image: the photograph, the stored rows, and beneath each row what the model gets of it."""

import difflib
from pathlib import Path, PurePosixPath

import cv2
import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont, ImageOps

from fovea.cache.read import Cache
from fovea.decode import decode_small
from fovea.errors import UserError
from fovea.files import replacing
from fovea.params.train import TrainParams
from fovea.raw import RawFiles, digest
from fovea.report.content import PARTS
from fovea.tables import printable
from fovea.training.seen import Seen, full_epochs, see

ROWS, EPOCHS, NAMES = 6, 4, 4  # shown at most
SMALL, LARGE = 128, 512        # px: smaller rows are enlarged by a whole factor, larger ones shrunk
GAP, LINE, LEFT = 12, 22, 120  # px between tiles, of a line of text, left of the tiles
PAPER, INK = "#ffffff", "#1d2328"
FONT = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")  # has more letters than Pillow's own


def write_sheet(data: Path, name: str, params: TrainParams, out: Path | None) -> Path:
    """Write the picture of the one image that `name` fits to `out`, `<image>-seen.png` if None; returns its path.

    `data` holds what the stages left: split.parquet, cache/ and maybe raw/. Raises UserError if there is no cache, or
    no row of such an image in it.
    """
    cache, split = read_stages(data)
    image = find_image(name, split["image"])
    require_cached(image, cache, split)
    seen = see(cache, image, params, full_epochs(params, EPOCHS), ROWS)
    content = cache.index.loc[cache.index["image"] == image, "digest"].iloc[0]
    sheet = draw_sheet(seen, read_photograph(data / "raw" / cache.attrs["name"], image, content))
    path = out or Path(f"{PurePosixPath(image).stem}-seen.png")
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def read_stages(data: Path) -> tuple[Cache, pd.DataFrame]:
    try:
        return Cache(data / "cache"), pd.read_parquet(data / "split.parquet")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or error}: not found, so there is no cache to show; "
                        "run: dvc repro augment") from None


def find_image(name: str, images: "pd.Series[str]") -> str:
    """The one of `images` that is called `name`, or ends with it, its own ending left out or not.

    Whole parts of a path go first: 7_left is a/7_left.jpeg, whether there is a/17_left.jpeg or not. Raises UserError
    with the names that fit if several do, with the nearest if none does.
    """
    if (images == name).any():
        return name
    paths = "/" + images.str.replace("!", "/")
    stems = paths.str.replace(r"\.[^./]*$", "", regex=True)
    wanted = name.replace("!", "/")
    for end in (f"/{wanted}", wanted):
        found = images[paths.str.endswith(end) | stems.str.endswith(end)].tolist()
        if len(found) == 1:
            return str(found[0])
        if found:
            raise UserError(f"--image {printable(name)}: fits {len(found)} images, {_some(found)}; give more of it")
    raise UserError(f"--image {printable(name)}: no image is called so; the nearest: {_nearest(wanted, images, stems)}")


def _nearest(wanted: str, images: "pd.Series[str]", stems: "pd.Series[str]") -> str:
    """Names that hold `wanted`, or are spelled like it; any name if none is."""
    by_stem = dict(zip(stems.str.rpartition("/")[2], images, strict=True))
    spelled = difflib.get_close_matches(PurePosixPath(wanted).stem, by_stem, n=NAMES)
    holding = images[images.str.contains(wanted, regex=False)].tolist()
    return _some(holding or [by_stem[stem] for stem in spelled] or images.head(1).tolist())


def _some(names: list[str]) -> str:
    return ", ".join(map(printable, names[:NAMES])) + (", ..." if len(names) > NAMES else "")


def require_cached(image: str, cache: Cache, split: pd.DataFrame) -> None:
    """Raise UserError if split has dropped `image`, or the cache is older than the split."""
    row = split[split["image"] == image].iloc[0]
    if pd.isna(row["split"]):
        raise UserError(f"{printable(image)}: dropped by split as a {row['reason']}, so it is not in the cache; "
                        "split.duplicates and split.leaks in params.yaml decide that")
    if not (cache.index["image"] == image).any():
        raise UserError(f"{printable(image)}: not in the cache, which is older than the split; run: dvc repro augment")


def read_photograph(raw: Path, image: str, content_digest: str) -> np.ndarray | str:
    """RGB uint8 (h, w, 3) of the raw file, upright and maybe shrunk by the decoder, or why there is none to show."""
    try:
        with RawFiles(raw) as files:
            content = files.read(image)
            return decode_small(content, LARGE) if digest(content) == content_digest else "changed since ingest"
    except UserError:
        return "not in data/raw"


def draw_sheet(seen: Seen, photograph: np.ndarray | str) -> Image.Image:
    """The first line holds the photograph and the stored rows, the lines beneath what the model gets of each row."""
    size, head = seen.stored.shape[1], describe(seen)
    lines = [(title, scaled(pixels, size)) for title, pixels in [("stored", seen.stored), *seen.inputs]]
    titles = ["photograph", *(f"variant {number}" if number else "image itself" for number in seen.variants)]
    side = lines[0][1].shape[1]
    x = [LEFT + (side + GAP) * column for column in range(len(titles))]
    y = [GAP + LINE * (len(head) + 2) + (side + GAP) * line for line in range(len(lines))]
    texts = [(GAP, GAP + LINE * line, text) for line, text in enumerate(head)]
    texts += [(left, y[0] - LINE, title) for left, title in zip(x, titles, strict=True)]
    texts += [(GAP, top, title) for top, (title, _) in zip(y, lines, strict=True)]
    font = ImageFont.truetype(FONT, 14)

    width = max(x[-1] + side, *(GAP + round(font.getlength(text)) for text in head)) + GAP
    sheet = Image.new("RGB", (width, y[-1] + side + GAP), PAPER)
    for left, top, text in texts:
        ImageDraw.Draw(sheet).text((left, top), text, INK, font)
    if isinstance(photograph, str):
        ImageDraw.Draw(sheet).text((x[0], y[0]), photograph, INK, font)
    else:
        sheet.paste(ImageOps.contain(Image.fromarray(photograph), (side, side)), (x[0], y[0]))
    for top, (_, tiles) in zip(y, lines, strict=True):
        for left, tile in zip(x[1:], tiles, strict=True):
            sheet.paste(Image.fromarray(tile), (left, top))
    return sheet


def describe(seen: Seen) -> list[str]:
    """Lines of text for the head of the picture."""
    size, crop = seen.stored.shape[1], seen.inputs[0].pixels.shape[1]
    middle = "a square" if seen.split == "train" else "the centre"
    cropped = f", of which the model gets {middle} of {crop} px (train.crop)" if crop < size else ""
    more = f"; {seen.more} more variants are stored" if seen.more else ""
    beneath = "what training draws of the row above" if seen.split == "train" else "what the model gets"
    return [printable(seen.image), f"class {printable(seen.label)}, {PARTS[seen.split]} part",
            f"stored at {size} px{cropped}{more}; beneath: {beneath}, before train.scaling"]


def scaled(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 (n, side, side, 3) at the scale that shows rows of `size` px in `SMALL` to `LARGE` px."""
    if size < SMALL:
        factor = -(-SMALL // size)
        return pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    if size > LARGE:
        side = round(pixels.shape[1] * LARGE / size)
        return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in pixels])
    return pixels
