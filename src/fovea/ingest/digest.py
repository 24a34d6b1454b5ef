"""Digest of an image's content: two images with the same digest are the same bytes."""

import hashlib

import numpy as np


def bytes_digest(data: bytes) -> str:
    """BLAKE2b of a file's bytes, 40 hex digits."""
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def array_digest(pixels: np.ndarray) -> str:
    """BLAKE2b of type, shape and C-order bytes of one array member, 40 hex digits."""
    digest = hashlib.blake2b(f"{pixels.dtype.str}{pixels.shape}".encode(), digest_size=20)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
