"""Malformed and odd image files, and what is expected of each: accepted as what, or rejected why."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from tests import odd_images as odd
from tests.odd_images import HEIGHT, WIDTH, bmp, chunk, frames, orientation, palette, patched, png, saved, segments

CUT = "truncated|damaged|cannot be decoded"
UNSUPPORTED = "unsupported|cannot be decoded: .*(12|float|bits)"
NO_IMAGE = "not an image"
SIXTEEN = np.random.default_rng(4).integers(0, 2**16, (HEIGHT, WIDTH), dtype=np.uint16)
RGB, GREY = odd.pixels(), odd.pixels()[..., 0]
JPEG, PROGRESSIVE = saved("JPEG", quality=95), saved("JPEG", quality=95, progressive=True)
LARGE = saved("JPEG", size=(256, 192), quality=90)
LARGE_PROGRESSIVE = saved("JPEG", size=(256, 192), quality=90, progressive=True)
MOVIE = frames("GIF", duration=100, loop=0)


@dataclass(frozen=True)
class Accepted:
    format: str
    width: int = WIDTH
    height: int = HEIGHT
    frames: int = 1


Rejected = str  # a pattern that the reason matches
JPG, TURNED, PNG, TIFF = Accepted("jpeg"), Accepted("jpeg", HEIGHT, WIDTH), Accepted("png"), Accepted("tiff")


def zeroed(data: bytes, share: float) -> bytes:
    """The last part of a file as a broken transfer leaves it: there, but zeros."""
    kept = int(len(data) * share)
    return data[:kept] + bytes(len(data) - kept)


def with_adobe_transform(data: bytes, transform: int) -> bytes:
    return patched(data, 0xEE, 15, bytes([transform]))


def without(data: bytes, name: bytes) -> bytes:
    """A PNG without its chunks `name`."""
    at, kept = 8, data[:8]
    while at < len(data):
        length = 12 + int.from_bytes(data[at : at + 4], "big")
        kept += b"" if data[at + 4 : at + 8] == name else data[at : at + length]
        at += length
    return kept


def flipped_bit(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def gif_with_large_frame() -> bytes:
    """The screen is 1 x 1 px, the picture on it claims 60000 x 60000."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0) + b"\x02\x02\x4c\x01\0;"


def packed_zeros(megabytes: int) -> bytes:
    """A stream of zlib that unpacks to so many zeros, without holding them."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(10**6)) for _ in range(megabytes)) + packer.flush()


MUCH = packed_zeros(300)
BOMBS: dict[str, bytes] = {
    "PNG of 20000 x 15000 px, all there": png(1, 0, (20_000, 15_000), data=MUCH),
    "PNG of 100000 x 100000 px": png(1, 0, (100_000, 100_000), data=zlib.compress(bytes(1000))),
    "PNG of 2147483647 px a side": png(8, 2, (2**31 - 1, 2**31 - 1), data=zlib.compress(bytes(1000))),
    "JPEG of 65500 x 65500 px": patched(JPEG, 0xC0, 5, struct.pack(">HH", 65500, 65500)),
    "TIFF of 200000 x 200000 px": odd.tiff(GREY, tags={256: (4, [200_000]), 257: (4, [200_000])}),
    "BMP of 100000 x 100000 px": bmp(24, data=bytes(100), size=(100_000, 100_000)),
    "GIF of 65535 x 65535 px": MOVIE[:6] + b"\xff\xff\xff\xff" + MOVIE[10:],
    "GIF frame larger than its screen": gif_with_large_frame(),
}
DEEP_BOMBS: dict[str, bytes] = {  # few pixels, but much memory for who trusts another field
    "PNG whose text unpacks to 300 MB": png(extra=chunk(b"zTXt", b"a\0\0" + MUCH)),
    "PNG whose profile unpacks to 300 MB": png(extra=chunk(b"iCCP", b"a\0\0" + MUCH)),
    "PNG whose pixels unpack to 300 MB": png(data=MUCH),
    "PNG chunk that claims 2 GB": odd.SIGNATURE + png()[8:33] + b"\x7f\xff\xff\xffIDAT" + bytes(100),
    "TIFF tile of 30000 x 20000 px": odd.tiff(GREY, tile=16, tags={322: (4, [30_000]), 323: (4, [20_000])}),
    "TIFF strip that claims 2 GB": odd.tiff(GREY, tags={279: (4, [2**31 - 1])}),
    "TIFF with 100000 tags": odd.tiff(GREY)[:4] + struct.pack("<I", 8) + struct.pack("<H", 65535) + bytes(800_000),
}

CASES: dict[str, tuple[bytes, Accepted | Rejected]] = {
    # No image at all
    "empty": (b"", "empty"),
    "one byte": (b"\xff", NO_IMAGE),
    "text": (b"This is a text.\n" * 20, NO_IMAGE),
    "HTML error page": (b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>", NO_IMAGE),
    "PDF": (b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n", NO_IMAGE),
    "ZIP": (b"PK\x05\x06" + bytes(18), NO_IMAGE),
    "Windows thumbnail database": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), NO_IMAGE),
    "pointer of git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", NO_IMAGE),
    "zeros": (bytes(5000), NO_IMAGE),
    "resource fork of macOS": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(60), NO_IMAGE),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', f"{NO_IMAGE}|unsupported"),
    "JPEG 2000": (saved("JPEG2000"), f"{NO_IMAGE}|unsupported"),
    "ICO": (saved("ICO", "RGBA", (32, 32)), f"{NO_IMAGE}|unsupported"),
    "PPM": (saved("PPM"), f"{NO_IMAGE}|unsupported"),
    # JPEG
    "JPEG": (JPEG, JPG),
    "JPEG, grey": (saved("JPEG", "L"), JPG),
    "JPEG, CMYK": (saved("JPEG", "CMYK"), JPG),
    "JPEG, CMYK marked as YCCK": (with_adobe_transform(saved("JPEG", "CMYK"), 2), JPG),
    "JPEG, marked as RGB by Adobe": (saved("JPEG", keep_rgb=True), JPG),
    "JPEG, progressive": (PROGRESSIVE, JPG),
    "JPEG, optimised with restarts": (saved("JPEG", optimize=True, restart_marker_blocks=1), JPG),
    "JPEG, 12 bits": (patched(JPEG, 0xC0, 4, b"\x0c"), UNSUPPORTED),
    "JPEG, lossless": (JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1), f"{CUT}|unsupported|{NO_IMAGE}"),
    "JPEG, only its start": (b"\xff\xd8", f"{NO_IMAGE}|{CUT}"),
    "JPEG, cut in its header": (JPEG[:100], f"{NO_IMAGE}|{CUT}"),
    "JPEG, cut after its header": (b"".join(segments(JPEG)[:-1]), CUT),
    "JPEG, cut in the middle": (JPEG[: len(JPEG) // 2], CUT),
    "JPEG, without its end": (JPEG[:-2], CUT),
    "JPEG, its tail zeroed": (zeroed(LARGE, 0.5), CUT),
    "JPEG, its last tenth zeroed": (zeroed(LARGE, 0.9), CUT),
    "JPEG, its tail zeroed before a proper end": (zeroed(LARGE, 0.5)[:-2] + b"\xff\xd9", CUT),
    "JPEG, progressive, cut in the middle": (LARGE_PROGRESSIVE[: len(LARGE_PROGRESSIVE) // 2], CUT),
    "JPEG, progressive, its tail zeroed": (zeroed(LARGE_PROGRESSIVE, 0.5), CUT),
    "JPEG, progressive, its last tenth zeroed": (zeroed(LARGE_PROGRESSIVE, 0.9), CUT),
    "JPEG, progressive, its tail zeroed before a proper end": (zeroed(LARGE_PROGRESSIVE, 0.5)[:-2] + b"\xff\xd9", CUT),
    "JPEG, progressive, its tail missing before a proper end": (
        LARGE_PROGRESSIVE[: len(LARGE_PROGRESSIVE) // 2] + b"\xff\xd9", CUT),
    "JPEG, bytes before it": (b"junk" + JPEG, f"{NO_IMAGE}|{CUT}"),
    "JPEG, bytes behind it": (JPEG + b"junk" * 100, JPG),
    "JPEG, another behind it": (JPEG + saved("JPEG", size=(8, 8)), JPG),
    "JPEG, stray bytes between segments": (b"".join([*segments(JPEG)[:2], b"\0\0", *segments(JPEG)[2:]]), JPG),
    "JPEG, two bytes of padding before its end": (JPEG[:-2] + b"\0\0\xff\xd9", JPG),
    "JPEG, of height 0": (patched(JPEG, 0xC0, 5, b"\0\0"), f"{CUT}|{NO_IMAGE}"),
    "JPEG, of width 0": (patched(JPEG, 0xC0, 7, b"\0\0"), f"{CUT}|{NO_IMAGE}"),
    "JPEG, without quantisation tables": (
        b"".join(part for part in segments(JPEG) if part[1] != 0xDB), f"{CUT}|{NO_IMAGE}"),
    "JPEG, without Huffman tables": (b"".join(part for part in segments(JPEG) if part[1] != 0xC4), JPG),
    "JPEG, named as two pictures of a stereo camera": (frames("MPO", 2), Accepted("jpeg", frames=2)),
    # EXIF
    **{f"JPEG, EXIF orientation {value}": (odd.with_exif(orientation(value)), TURNED if value >= 5 else JPG)
       for value in range(1, 9)},
    "JPEG, EXIF orientation 0": (odd.with_exif(orientation(0)), JPG),
    "JPEG, EXIF orientation 9": (odd.with_exif(orientation(9)), JPG),
    "JPEG, EXIF orientation 65535": (odd.with_exif(orientation(65535)), JPG),
    "JPEG, EXIF orientation as text": (odd.with_exif(orientation(6, kind=2)), JPG),
    "JPEG, EXIF of no meaning": (odd.with_exif(b"nonsense" * 9), JPG),
    "JPEG, EXIF that points behind its end": (odd.with_exif(b"II*\0\xff\xff\xff\x7f"), JPG),
    "JPEG, EXIF that is empty": (odd.with_exif(b""), JPG),
    "JPEG, EXIF of 64 kB": (odd.with_exif(orientation(6) + bytes(65_000)), TURNED),
    "JPEG, EXIF directory that is its own successor": (odd.with_exif(orientation(6)[:-4] + b"\x08\0\0\0"), TURNED),
    "PNG, EXIF orientation 6": (saved("PNG", exif=orientation(6)), Accepted("png", HEIGHT, WIDTH)),
    "WebP, EXIF orientation 6": (saved("WEBP", exif=b"Exif\0\0" + orientation(6)), Accepted("webp", HEIGHT, WIDTH)),
    # PNG
    **{f"PNG, grey of {depth} bits": (png(depth), PNG) for depth in (1, 2, 4, 8, 16)},
    "PNG, RGB of 16 bits": (png(16, 2), PNG),
    "PNG, grey with alpha": (png(8, 4), PNG),
    "PNG, grey with alpha of 16 bits": (png(16, 4), PNG),
    "PNG, RGBA": (png(8, 6), PNG),
    "PNG, RGBA of 16 bits": (png(16, 6), PNG),
    **{f"PNG, palette of {depth} bits": (png(depth, 3, extra=palette(depth)), PNG) for depth in (1, 2, 4, 8)},
    "PNG, palette with transparency": (png(8, 3, extra=palette(8, alpha=True)), PNG),
    "PNG, palette missing": (png(8, 3), CUT),
    "PNG, one grey level transparent": (png(8, 0, extra=chunk(b"tRNS", b"\0\7")), PNG),
    "PNG, interlaced": (png(8, 2, interlaced=True), PNG),
    "PNG, interlaced of 16 bits": (png(16, 2, interlaced=True), PNG),
    "PNG, interlaced of 1 bit": (png(1, 0, interlaced=True), PNG),
    "PNG, animated": (frames("PNG"), Accepted("png", frames=3)),
    "PNG, of 3 bits, which there are none": (png(3), f"{CUT}|{NO_IMAGE}"),
    "PNG, of width 0": (png(size=(0, 5)), f"{CUT}|{NO_IMAGE}"),
    "PNG, wrong checksum of the header": (flipped_bit(png(), 30), f"{CUT}|{NO_IMAGE}"),
    "PNG, a bit of its pixels flipped": (flipped_bit(png(), 60), CUT),
    "PNG, without pixels": (without(png(), b"IDAT"), CUT),
    "PNG, without its end": (without(png(), b"IEND"), PNG),
    "PNG, cut in the middle": (png()[: len(png()) // 2], CUT),
    "PNG, cut in the middle of 16 bits": (png(16, 2)[: len(png(16, 2)) // 2], CUT),
    "PNG, its tail zeroed": (zeroed(png(8, 2), 0.5), CUT),
    "PNG, fewer rows than it claims": (png(data=zlib.compress(bytes(5 * (WIDTH + 1)))), CUT),
    "PNG, only its signature": (odd.SIGNATURE, f"{CUT}|{NO_IMAGE}"),
    "PNG, bytes behind it": (png() + b"junk", PNG),
    "PNG, spoilt by a transfer as text": (png().replace(b"\r\n", b"\n"), NO_IMAGE),
    # TIFF
    "TIFF": (odd.tiff(RGB), TIFF),
    "TIFF, big-endian": (odd.tiff(RGB, ">"), TIFF),
    "TIFF, BigTIFF": (odd.tiff(GREY, big=True), TIFF),
    "TIFF, planes apart": (odd.tiff(RGB, planar=True), TIFF),
    "TIFF, tiled": (odd.tiff(RGB, tile=16), TIFF),
    "TIFF, grey of 16 bits": (odd.tiff(SIXTEEN), TIFF),
    "TIFF, grey of 16 bits, big-endian": (odd.tiff(SIXTEEN, ">"), TIFF),
    "TIFF, RGB of 16 bits": (odd.tiff(np.dstack([SIXTEEN] * 3)), TIFF),
    "TIFF, floating point": (odd.tiff(SIXTEEN.astype(np.float32) / 65535), UNSUPPORTED),
    "TIFF, bilevel": (saved("TIFF", "1", compression="group4"), TIFF),
    "TIFF, palette": (saved("TIFF", "P"), TIFF),
    "TIFF, CMYK": (saved("TIFF", "CMYK"), TIFF),
    **{f"TIFF, {name}": (saved("TIFF", compression=name), TIFF)
       for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")},
    "TIFF, of three pages": (frames("TIFF"), Accepted("tiff", frames=3)),
    "TIFF, a directory that is its own successor": (odd.tiff(RGB, loop=True), TIFF),
    "TIFF, cut in its directory": (odd.tiff(RGB, cut=60), f"{CUT}|{NO_IMAGE}"),
    "TIFF, pixels behind its end": (odd.tiff(RGB, tags={273: (4, [10**6])}), CUT),
    "TIFF, LZW cut in the middle": (saved("TIFF", compression="tiff_lzw")[:300], f"{CUT}|{NO_IMAGE}"),
    "TIFF, LZW with damaged pixels": (zeroed(saved("TIFF", compression="tiff_lzw"), 0.3), f"{CUT}|{NO_IMAGE}"),
    "TIFF, unknown compression": (odd.tiff(RGB, tags={259: (3, [34712])}), f"{CUT}|unsupported|{NO_IMAGE}"),
    # WebP
    "WebP": (saved("WEBP"), Accepted("webp")),
    "WebP, lossless with alpha": (saved("WEBP", "RGBA", lossless=True), Accepted("webp")),
    "WebP, animated": (frames("WEBP"), Accepted("webp", frames=3)),
    "WebP, cut in the middle": (saved("WEBP")[:200], f"{CUT}|{NO_IMAGE}"),
    "WebP, lossless, cut in the middle": (saved("WEBP", lossless=True)[:300], f"{CUT}|{NO_IMAGE}"),
    "WebP, animated, cut in its second picture": (frames("WEBP")[:900], f"{CUT}|{NO_IMAGE}"),
    "RIFF of sound": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(20), NO_IMAGE),
    # BMP
    **{f"BMP, {depth} bits": (bmp(depth), Accepted("bmp")) for depth in (1, 4, 8, 24, 32)},
    "BMP, top-down": (bmp(24, top_down=True), Accepted("bmp")),
    "BMP, run lengths": (bmp(8, compression=1, data=odd.run_lengths()), Accepted("bmp")),
    "BMP, cut in the middle": (bmp(24)[:600], CUT),
    "BMP, of 7 bits, which there are none": (bmp(7), f"{CUT}|{NO_IMAGE}|unsupported"),
    "BMP, of width 0": (bmp(24, size=(0, 5)), f"{CUT}|{NO_IMAGE}"),
    # GIF
    "GIF": (saved("GIF", "P"), Accepted("gif")),
    "GIF, not interlaced": (saved("GIF", "P", interlace=0), Accepted("gif")),
    "GIF, transparent": (saved("GIF", "P", transparency=0), Accepted("gif")),
    "GIF, animated": (MOVIE, Accepted("gif", frames=3)),
    "GIF, cut in the middle": (saved("GIF", "P")[:-60], CUT),
    "GIF, cut in its header": (MOVIE[:12], f"{CUT}|{NO_IMAGE}"),
    "GIF, screen of width 0": (MOVIE[:6] + b"\0\0" + MOVIE[8:], Accepted("gif", frames=3)),  # its pictures are not
    # Decompression bombs, by what their header claims
    **{name: (data, "larger than ingest.max_pixels") for name, data in BOMBS.items()},
}  # fmt: skip
