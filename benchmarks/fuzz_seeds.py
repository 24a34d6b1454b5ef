"""The sound and odd files from which benchmarks/fuzz.py makes damaged ones, and how it damages them."""

import gzip
import io
import json
import tarfile
import zipfile

import numpy as np
import openpyxl
import pandas as pd

from tests.odd_files import CASES, JPEG, Accepted
from tests.odd_images import SIGNATURE, chunk

Seed = tuple[str, bytes]  # suffix of the file, content
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NAMES = ("a.jpg", "train/b.jpg", "../escaped.txt", "/escaped.txt", "deep/../../../escaped.txt", "x" * 300, "عين.jpg",
         "..\\escaped.txt", "labels.csv", "c\n.jpg", "train")  # fmt: skip
TABLE = pd.DataFrame({"image": [f"{number}.jpg" for number in range(12)], "level": [str(n % 3) for n in range(12)],
                      "age": np.arange(12) / 3, "seen": pd.Timestamp("2020-02-29")})


def image_seeds() -> list[Seed]:
    """Of every format and kind; those that are rejected anyhow would not lead deep."""
    return [(".img", data) for data, expected in CASES.values() if isinstance(expected, Accepted)]


def archive_seeds() -> list[Seed]:
    plain = _tar()
    return [(".zip", _zip(zipfile.ZIP_STORED)), (".zip", _zip(zipfile.ZIP_DEFLATED)), (".zip", _zip(zipfile.ZIP_LZMA)),
            (".tar", plain), (".tar", _tar(tarfile.PAX_FORMAT)), (".tar.gz", gzip.compress(plain)),
            (".tgz", gzip.compress(plain))]  # fmt: skip


def array_seeds() -> list[Seed]:
    found = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, train_images=np.zeros((3, 4, 4, 3), np.uint8), train_labels=np.zeros((3, 1), np.uint8))
        found.append((".npz", buffer.getvalue()))
    return found


def table_seeds() -> list[Seed]:
    csv, records = TABLE.to_csv(index=False), TABLE.astype({"seen": str}).to_dict("records")
    parquet, book = io.BytesIO(), openpyxl.Workbook()
    TABLE.to_parquet(parquet)
    for row in [list(TABLE.columns), *TABLE.to_numpy().tolist()]:
        book.worksheets[0].append(row)
    xlsx = io.BytesIO()
    book.save(xlsx)
    return [(".csv", csv.encode()), (".csv", csv.replace("0.jpg", '"a ""b"",\nc"').encode("utf-8-sig")),
            (".tsv", csv.replace(",", "\t").encode()), (".txt", csv.replace(",", ";").encode("utf-16")),
            (".json", json.dumps(records).encode()), (".json", json.dumps({"image": ["a", "b"], "x": [1, 2]}).encode()),
            (".jsonl", "\n".join(map(json.dumps, records)).encode()), (".ndjson", b'{"image": "a.jpg", "x": 1}\n\n'),
            (".parquet", parquet.getvalue()), (".xlsx", xlsx.getvalue())]  # fmt: skip


def _zip(compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as packed:
        for name in NAMES:
            packed.writestr(zipfile.ZipInfo(name), JPEG, compression)
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def _tar(kind: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as packed:
        for name in NAMES:
            info = tarfile.TarInfo(name)
            info.size = len(JPEG)
            packed.addfile(info, io.BytesIO(JPEG))
        for name, special in (("sym", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("fifo", tarfile.FIFOTYPE),
                              ("device", tarfile.CHRTYPE), ("folder", tarfile.DIRTYPE)):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = special, "../../escaped.txt"
            packed.addfile(info)
        info = tarfile.TarInfo("sym/through.jpg")  # a file below a link
        info.size = len(JPEG)
        packed.addfile(info, io.BytesIO(JPEG))
    return buffer.getvalue()


def mutated(seed: Seed, other: Seed, rng: np.random.Generator) -> bytes:
    """The bytes of `seed`, damaged in one to four places; every other time below its compression or checksums."""
    suffix, data = seed
    if rng.random() < 0.5:
        if suffix in (".tar.gz", ".tgz"):
            return gzip.compress(_damaged(gzip.decompress(data), other[1], rng), 1)
        if suffix in (".xlsx", ".npz"):
            return _damaged_member(data, other[1], rng)
        if data.startswith(SIGNATURE):
            return _with_checksums(_damaged(data, other[1], rng))
    return _damaged(data, other[1], rng)


def _damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    for _ in range(min(4, int(rng.geometric(0.6)))):
        data = _damage(data, other, rng) or b"\0"
    return data


def _damage(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    first, last = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    near = min(last, first + int(rng.integers(1, 64)))
    match int(rng.integers(0, 8)):
        case 0:  # bits, more often in the header
            changed, end = bytearray(data), len(data) if rng.random() < 0.5 else min(len(data), 256)
            for at in rng.integers(0, end, int(rng.integers(1, 9))).tolist():
                changed[at] ^= 1 << int(rng.integers(0, 8))
            return bytes(changed)
        case 1:  # a number
            size = int(rng.choice([1, 2, 4, 8]))
            value = (int(rng.choice(EXTREMES)) % 256**size).to_bytes(size, "little")
            return data[:first] + (value if rng.random() < 0.5 else value[::-1]) + data[first + size :]
        case 2:
            return data[:last]
        case 3:
            return data[:first] + data[near:]
        case 4:
            return data[:near] + data[first:near] * int(rng.integers(1, 9)) + data[near:]
        case 5:
            return data[:first] + bytes(last - first) + data[last:]
        case 6:  # the other file from somewhere on
            return data[:first] + other[int(rng.integers(0, len(other) + 1)) :]
        case _:  # the start of the other file
            size = int(rng.integers(2, 33))
            return other[:size] + data[size:]


def _damaged_member(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as packed, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as written:
        chosen = int(rng.integers(0, len(packed.infolist())))
        for number, info in enumerate(packed.infolist()):
            content = packed.read(info)
            written.writestr(info.filename, _damaged(content, other, rng) if number == chosen else content)
    return buffer.getvalue()


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what they now hold, as far as they can be told apart."""
    at, written = 8, data[:8]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        written += chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return written + data[at:]
