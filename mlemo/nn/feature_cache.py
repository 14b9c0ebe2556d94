"""Cache of feature matrices on disk, keyed by everything they are computed from."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

__all__ = ["read_features", "write_features"]

DIGEST = 32  # bytes of a sha256, after the array

log = logging.getLogger(__name__)


def read_features(folder: Path, key: str) -> Tensor | None:
    """Read the matrix of a key.

    Args:
        folder: Folder of the cache.
        key: Key of the matrix.

    Returns:
        ``(N, F)`` float32; ``None`` if the file does not exist, or (with a warning) if it is damaged.
    """
    path = _path(folder, key)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read cached features, computing them again: %s", error)
        return None
    array, digest = content[:-DIGEST], content[-DIGEST:]
    if digest != _digest(key, array):
        log.warning("cached features %s are damaged, computing them again", path)
        return None
    return torch.from_numpy(np.load(io.BytesIO(array), allow_pickle=False))


def write_features(folder: Path, key: str, features: Tensor) -> Path | None:
    """Write a matrix atomically, even if other processes write the same one.

    Args:
        folder: Folder of the cache, created if missing.
        key: Key of everything that the matrix was computed from.
        features: ``(N, F)`` float32, on the CPU.

    Returns:
        The path of the file, or ``None`` (with a warning) if it could not be written.
    """
    array = io.BytesIO()
    np.save(array, features.numpy())
    path = _path(folder, key)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(array.getvalue() + _digest(key, array.getvalue()))
        unfinished.replace(path)
    except OSError as error:
        log.warning("the features are not cached for the next run: %s", error)
        unfinished.unlink(missing_ok=True)
        return None
    return path


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.npy"


def _digest(key: str, array: bytes) -> bytes:
    # includes the key, so that a renamed file is detected
    return hashlib.sha256(key.encode() + array).digest()
