"""Writers of image files that no ordinary encoder writes, for the tests of ingest: whole formats in a few lines."""

import io
import struct
import zlib
from typing import Any, Literal

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 24, 16
SIGNATURE = b"\x89PNG\r\n\x1a\n"
Tags = dict[int, tuple[int, list[int]]]  # tag: type (3 SHORT, 4 LONG, 16 LONG8), values


def pixels(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """uint8 (height, width, 3) of noise: every byte of the file counts."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(kind: str, mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(0, *size)).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def frames(kind: str, count: int = 3, **options: Any) -> bytes:
    """A file of several pictures."""
    first, *others = [Image.fromarray(pixels(seed)) for seed in range(count)]
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others, **options)
    return buffer.getvalue()


# PNG

def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(depth: int = 8, colour: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), interlaced: bool = False,
        extra: bytes = b"", data: bytes | None = None) -> bytes:
    """A PNG of random pixels. `colour` 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA; `data` replaces the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, int(interlaced))
    body = zlib.compress(_scanlines(depth, colour, size, interlaced)) if data is None else data
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND")


def _scanlines(depth: int, colour: int, size: tuple[int, int], interlaced: bool) -> bytes:
    """Rows of noise without filter; for Adam7 those of its seven passes."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rng, lines = np.random.default_rng(0), []
    for x, y, dx, dy in passes if interlaced else [(0, 0, 1, 1)]:
        width, height = -(-(size[0] - x) // dx), -(-(size[1] - y) // dy)
        bits = width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        lines += [b"\0" + rng.bytes(-(-bits // 8)) for _ in range(height)]
    return b"".join(lines)


def palette(depth: int, alpha: bool = False) -> bytes:
    colours = chunk(b"PLTE", np.random.default_rng(1).bytes(3 * 2**depth))
    return colours + (chunk(b"tRNS", bytes(range(2**depth))) if alpha else b"")


# TIFF

def tiff(array: np.ndarray, order: Literal["<", ">"] = "<", big: bool = False, planar: bool = False, tile: int = 0,
         tags: Tags | None = None, loop: bool = False, cut: int = 0) -> bytes:
    """An uncompressed TIFF of `array` (h, w[, 3]). `loop` makes the directory its own successor, `cut` cuts the end."""
    colours = 1 if array.ndim == 2 else array.shape[2]
    blocks = _blocks(array.astype(array.dtype.newbyteorder(order)), planar, tile)
    data, start = b"".join(blocks), 16 if big else 8
    offsets = [start + sum(map(len, blocks[:number])) for number in range(len(blocks))]
    first, counts = (324, 325) if tile else (273, 279)
    found: Tags = {
        256: (4, [array.shape[1]]), 257: (4, [array.shape[0]]), 258: (3, [8 * array.itemsize] * colours),
        259: (3, [1]), 262: (3, [2 if colours == 3 else 1]), 277: (3, [colours]), 284: (3, [2 if planar else 1]),
        339: (3, [{"u": 1, "i": 2, "f": 3}[array.dtype.kind]] * colours),
        first: (4, offsets), counts: (4, [len(block) for block in blocks]),
        **({322: (4, [tile]), 323: (4, [tile])} if tile else {278: (4, [array.shape[0]])}),
    }  # fmt: skip
    end = start + len(data)
    written = _directory({**found, **(tags or {})}, order, big, end, end if loop else 0)
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, end) if big else struct.pack(order + "HI", 42, end)
    whole = mark + head + data + written
    return whole[: len(whole) - cut]


def _blocks(array: np.ndarray, planar: bool, tile: int) -> list[bytes]:
    if tile:
        rows, columns = (-(-side // tile) * tile for side in array.shape[:2])
        padded = np.zeros((rows, columns, *array.shape[2:]), array.dtype)
        padded[: array.shape[0], : array.shape[1]] = array
        return [padded[y : y + tile, x : x + tile].tobytes() for y in range(0, rows, tile)
                for x in range(0, columns, tile)]  # fmt: skip
    return [array[..., band].tobytes() for band in range(array.shape[2])] if planar else [array.tobytes()]


def _directory(tags: Tags, order: str, big: bool, at: int, following: int) -> bytes:
    """The directory at offset `at`, then the values that are too long for it."""
    count, entry, offset, room = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    length = struct.calcsize(order + count) + len(tags) * (struct.calcsize(order + entry) + room) + room
    entries, values = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{ {3: 'H', 4: 'I', 16: 'Q'}[kind] }", *numbers)
        if len(packed) > room:
            place = struct.pack(order + offset, at + length + len(values))
            values += packed
        else:
            place = packed.ljust(room, b"\0")
        entries += struct.pack(order + entry, tag, kind, len(numbers)) + place
    return struct.pack(order + count, len(tags)) + entries + struct.pack(order + offset, following) + values


# BMP

def bmp(depth: int, top_down: bool = False, compression: int = 0, data: bytes | None = None,
        size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A Windows bitmap of random pixels of `depth` bits."""
    colours = np.random.default_rng(2).bytes(4 * 2**depth) if depth <= 8 else b""
    row = -(-size[0] * depth // 32) * 4
    body = np.random.default_rng(3).bytes(row * size[1]) if data is None else data
    start = 54 + len(colours)
    head = struct.pack("<IiiHHIIiiII", 40, size[0], -size[1] if top_down else size[1], 1, depth, compression, len(body),
                       2835, 2835, len(colours) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + colours + body


def run_lengths(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """RLE8 data: each row one run, then the end of the line; at last the end of the bitmap."""
    return b"".join(bytes([width, row, 0, 0]) for row in range(height)) + b"\0\1"


# JPEG

def segments(data: bytes) -> list[bytes]:
    """The marker segments of a JPEG before its first scan, then everything from there on."""
    found, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append(data[at : at + length])
        at += length
    return [*found, data[at:]]


def patched(data: bytes, marker: int, offset: int, value: bytes) -> bytes:
    """`data` with `value` written `offset` bytes into the segment of `marker`, such as 0xC0 for the frame header."""
    for at, part in enumerate(parts := segments(data)):
        if part[1] == marker:
            parts[at] = part[:offset] + value + part[offset + len(value) :]
    return b"".join(parts)


def exif_segment(body: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(body) + 8) + b"Exif\0\0" + body


def with_exif(body: bytes) -> bytes:
    first, *others = segments(saved("JPEG"))
    return b"".join([first, exif_segment(body), *others])


def orientation(value: int, kind: int = 3) -> bytes:
    """EXIF data that hold nothing but an orientation."""
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, kind, 1, value, 0) + b"\0\0\0\0"
