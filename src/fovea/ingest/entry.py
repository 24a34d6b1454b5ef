"""What a label layout says about one image, and what its bytes say."""

from typing import NamedTuple

Pixels = bytes  # of a small uint8 array, in C order


class Facts(NamedTuple):
    """Of one readable image: what it is stored as, and what a small copy of it shows."""

    digest: str         # of the file's bytes, 40 hex digits
    bytes: int
    width: int          # px as displayed
    height: int
    format: str         # lower-case name; "array" for a member of an array file
    frames: int         # pictures in the file, of which the first is used
    camera: str | None  # make and model, as EXIF or DICOM has them
    compression: str    # how the pixels are stored; of a JPEG 8 hex digits that name its tables and subsampling
    brightness: float   # mean of the lit field, 0 to 1
    sharpness: float    # log10 of the variance of the Laplacian of the small grey copy
    saturated: float    # share of clipped pixels, 0 to 1
    offset: float       # of the lit field's centre from the image's, as a share of the shorter side
    thumbnail: Pixels    # (8, 8, 3), RGB of the whole image
    fingerprint: Pixels  # (32, 32), grey of the image without dark margins


class Entry(NamedTuple):
    """One image as a layout names it. `image` is its address relative to the set's folder, with `/`.

    `label`, `group` and `given` stand as written. A layout that can tell by itself that an entry is unusable gives the
    `reason`; `examine` adds the `facts`. `kept` has other columns of its table by name. `rest` is the address with
    every character `blotted` that gives label or given split; naming.py blots the group and makes each blot a `*`. It
    is "" where the address says nothing else (arrays).
    """

    image: str
    label: str | None
    group: str | None = None
    given: str | None = None
    reason: str | None = None
    facts: Facts | None = None
    kept: tuple[tuple[str, str], ...] = ()
    rest: str = ""

    def agrees(self, other: "Entry") -> bool:
        """Whether both say the same; `kept` and `rest` apart: two sources may read one label from different places."""
        return self[:-2] == other[:-2]


def blotted(text: str, *spans: tuple[int, int]) -> str:
    """`text` of the same length, with NUL, which no file name holds, in each span: so positions stay valid."""
    for start, stop in spans:
        text = text[:start] + "\0" * (stop - start) + text[stop:]
    return text
