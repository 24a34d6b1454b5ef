"""What the head of a frozen backbone gets for each row, computed once and kept in the store for other heads.

`<key>/` holds the features of one backbone on one device, and `origin.json`, which says of which. Each file there,
`*.rows`, is a `record` after the other: a row is known by its pixels alone, and every record has its checksum, so that
a file that was cut off or damaged costs only the rows that it lost.
"""

import math
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from fovea.cache import read
from fovea.errors import UserError
from fovea.files import replacing, writable, write_json
from fovea.store import code_of, library_version, locked, origin_key, share
from fovea.training import data, forward, on_cpu, on_device, scaling, transforms
from fovea.training import model as building
from fovea.training.data import Rows
from fovea.training.device import describe
from fovea.training.forward import INFERENCE_BATCH, backbone_features

if TYPE_CHECKING:
    from fovea.params.train import TrainParams

KEY_BYTES = 16
MOST_PENDING = 2**26  # bytes of features in memory that are not in the store yet
MOST_SECONDS = 60.0   # until they are: what a kill can cost
PARAMS = {"model", "stem", "weights", "scaling", "crop"}
CODE = code_of(sys.modules[__name__], read, building, data, forward, on_cpu, on_device, scaling, transforms)
LIBRARIES = ("torch", "torchvision", "opencv-python-headless")
Track = Callable[[Iterable[Any], str, int], Iterator[Any]]


def features(
    model: nn.Module, head: nn.Module, rows: Rows, params: "TrainParams", store: Path, track: Track, label: str
) -> Tensor:
    """What `head` gets for each of `rows` from `model` in eval mode: (n, f) float32 on the device of the rows.

    Those that the folder `store` has are read from there, the others are computed and kept there; while another process
    computes features of this backbone, this one waits for them. The bits of a row do not depend on the other rows nor
    on what was kept. A store that cannot be written costs a warning. `model` is neither compiled nor wrapped.
    """
    keys, first, places = np.unique(pixel_keys(rows), return_index=True, return_inverse=True)
    found = np.empty((len(keys), _width(head)), np.float32)
    origin = origin_of(model, head, rows, params)
    with Kept(store / origin_key(origin), origin, found.shape[1]) as kept:
        missing = np.flatnonzero(~kept.read(keys, found))
        missing = missing[np.argsort(first[missing])]  # in the order in which they lie on the disk
        batches = [missing[i : i + INFERENCE_BATCH] for i in range(0, len(missing), INFERENCE_BATCH)]
        computed = backbone_features(model, head, _padded(rows, first[missing]))
        for batch, values in zip(batches, track(computed, label, len(batches)) if batches else (), strict=True):
            found[batch] = values[: len(batch)].cpu().numpy()  # waits for the device, once a batch
            kept.add(keys[batch], found[batch])
    return torch.from_numpy(found).to(rows.device)[torch.as_tensor(places, device=rows.device)]


def _padded(rows: Rows, positions: np.ndarray) -> Iterator[Tensor]:
    """Inputs of `positions` (n,) in batches of exactly `INFERENCE_BATCH`: the last row stands in for those that lack.

    In batches of one size the bits of a row depend neither on its place nor on the others; in a smaller one they do.
    """
    full = math.ceil(len(positions) / INFERENCE_BATCH) * INFERENCE_BATCH
    yield from rows.in_order(INFERENCE_BATCH, np.pad(positions, (0, full - len(positions)), "edge"))


def _width(head: nn.Module) -> int:
    """How many features the head takes."""
    return next(layer.in_features for layer in head.modules() if isinstance(layer, nn.Linear))


def pixel_keys(rows: Rows) -> np.ndarray:
    """A key for each row by the bytes of its stored pixels, S16 (n,). Reads and hashes all of them, on all cores."""

    def digests(start: int) -> list[bytes]:
        pixels = rows.cache.take(rows.rows[start : start + INFERENCE_BATCH])
        return [blake2b(row.data, digest_size=KEY_BYTES).digest() for row in pixels.reshape(len(pixels), -1)]

    with ThreadPoolExecutor() as pool:
        parts = pool.map(digests, range(0, len(rows), INFERENCE_BATCH))
        return np.array([key for part in parts for key in part], f"S{KEY_BYTES}")


def origin_of(model: nn.Module, head: nn.Module, rows: Rows, params: "TrainParams") -> dict[str, Any]:
    """What features depend on beside the pixels of the stored row.

    The threads and the kind of device are part of it: with others the last bits differ, and no result may depend on
    what was kept.
    """
    timm = ("timm",) if params.model.startswith("timm/") else ()
    return {
        "params": params.model_dump(mode="json", include=PARAMS),
        "code": CODE,
        "libraries": {name: library_version(name) for name in (*LIBRARIES, *timm)},
        "backbone": backbone_digest(model, head),
        "side": rows.crop,
        "device": [describe(rows.device), torch.backends.cpu.get_cpu_capability()],
    }


def backbone_digest(model: nn.Module, head: nn.Module) -> str:
    """Digest of the weights and buffers of `model` but those of its `head`."""
    own = {id(tensor) for tensor in head.state_dict(keep_vars=True).values()}
    total = blake2b(digest_size=16)
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in own:
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return total.hexdigest()


class Kept:
    """The features in `folder`, `width` of each row. A context manager that keeps other writers of the folder out.

    What was added is written within `MOST_SECONDS` or `MOST_PENDING` bytes, and at the end, even if that is an error.
    """

    def __init__(self, folder: Path, origin: dict[str, Any], width: int) -> None:
        self._folder, self._origin = folder, origin
        self._record = np.dtype([("key", f"S{KEY_BYTES}"), ("values", "<f4", (width,)), ("crc", "<u4")])
        self._pending: list[np.ndarray] = []
        self._written = time.monotonic()
        self._keeps = True
        self._lock = ExitStack()

    def __enter__(self) -> Self:
        try:
            with writable(self._folder):
                share(self._folder.parent)
                self._lock.enter_context(locked(self._folder))
        except UserError as error:
            self._give_up(error)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._lock:
            self._write()

    def read(self, keys: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill rows of `out` (n, width) float32 whose `keys` (n,), sorted, are here; which, as bool (n,)."""
        done = np.zeros(len(keys), bool)
        for path in sorted(self._folder.glob("[!.]*.rows")):
            records = self._read(path)
            places = np.minimum(np.searchsorted(keys, records["key"]), len(keys) - 1)
            good = (keys[places] == records["key"]) & (checksums(records) == records["crc"])
            out[places[good]] = records["values"][good]
            done[places[good]] = True
        return done

    def _read(self, path: Path) -> np.ndarray:
        """Its whole records; none if it cannot be read."""
        try:
            content = path.read_bytes()  # no map: of a disk that fails, that would be the signal SIGBUS
        except OSError:
            content = b""
        return np.frombuffer(content, self._record, len(content) // self._record.itemsize)

    def add(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Keep the features `values` (n, width) float32 of the rows with these keys (n,)."""
        if not self._keeps:
            return
        records = np.zeros(len(keys), self._record)
        records["key"], records["values"] = keys, values
        records["crc"] = checksums(records)
        self._pending.append(records)
        full = sum(part.nbytes for part in self._pending) >= MOST_PENDING
        if full or time.monotonic() - self._written >= MOST_SECONDS:
            self._write()

    def _write(self) -> None:
        if not self._pending:
            return
        content = np.concatenate(self._pending).tobytes()
        self._pending, self._written = [], time.monotonic()
        try:
            write_json(self._folder / "origin.json", self._origin)
            with replacing(self._folder / f"{blake2b(content, digest_size=8).hexdigest()}.rows") as path:
                path.write_bytes(content)
        except UserError as error:
            self._give_up(error)

    def _give_up(self, error: UserError) -> None:
        self._keeps = False
        print(f"warning: the features of the frozen phase are not kept for other runs: {error}", file=sys.stderr)


def checksums(records: np.ndarray) -> np.ndarray:
    """CRC-32 of all of each record but its last field, uint32 (n,)."""
    raw = records.view(np.uint8).reshape(len(records), records.itemsize)
    return np.array([zlib.crc32(row[:-4].data) for row in raw], np.uint32)
