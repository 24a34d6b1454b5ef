"""Random generators that depend on what they are for, never on the order or the worker that asks."""

from hashlib import blake2b

import numpy as np


def generator(seed: int, *words: str) -> np.random.Generator:
    """The generator of one purpose, named by words such as ("12_left", "camera")."""
    digest = blake2b("/".join([str(seed), *words]).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
