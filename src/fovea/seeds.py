"""Random draws that depend on what they are for, never on the order, the time or the worker that asks."""

from hashlib import blake2b

import numpy as np


def generator(seed: int, *words: str | int) -> np.random.Generator:
    """The generator of one purpose, named by words such as ("12_left", "camera"). Costs about 20 microseconds."""
    return np.random.default_rng(int.from_bytes(_hash(seed, words, 16), "little"))


def integer(seed: int, *words: str | int) -> int:
    """A seed for a generator of torch, below 2**63."""
    return int.from_bytes(_hash(seed, words, 8), "little") >> 1


def uniforms(seed: int, *words: str | int) -> np.ndarray:
    """Sixteen draws from [0, 1) as float64 (16,), in a tenth of the time of a generator."""
    return np.frombuffer(_hash(seed, words, 64), np.uint32) / 2**32


def uniforms_of(keys: list[str], seed: int, *words: str | int) -> np.ndarray:
    """`uniforms(seed, *words, key)` of each of n keys: float64 (n, 16)."""
    digests = b"".join(_hash(seed, (*words, key), 64) for key in keys)
    return np.frombuffer(digests, np.uint32).reshape(-1, 16) / 2**32


def _hash(seed: int, words: tuple[str | int, ...], size: int) -> bytes:
    return blake2b("/".join(map(str, (seed, *words))).encode(), digest_size=size).digest()
