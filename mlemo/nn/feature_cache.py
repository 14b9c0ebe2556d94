"""Feature matrices on disk, each under a key that names everything it was computed from."""

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

DIGEST = 32  # bytes of a sha256, behind the array

log = logging.getLogger(__name__)


def read_features(folder: Path, key: str) -> Tensor | None:
    """The matrix under a key.

    Args:
        folder: Folder of the cache.
        key: As it was written under.

    Returns:
        ``(N, F)`` float32; ``None`` where there is no such file, or (with a warning) where it is not what was written.
    """
    path = _path(folder, key)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read cached features, which are computed anew: %s", error)
        return None
    array, digest = content[:-DIGEST], content[-DIGEST:]
    if digest != _digest(key, array):
        log.warning("cached features %s are damaged and computed anew", path)
        return None
    return torch.from_numpy(np.load(io.BytesIO(array), allow_pickle=False))


def write_features(folder: Path, key: str, features: Tensor) -> Path | None:
    """Keep a matrix; the file appears whole or not at all, whatever other process writes the same one.

    Args:
        folder: Folder of the cache, made where it is not there.
        key: Name of everything that the matrix was computed from.
        features: ``(N, F)`` float32, on the CPU.

    Returns:
        The file, or ``None`` (with a warning) where it could not be written.
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
        log.warning("the features are not kept for the next run: %s", error)
        unfinished.unlink(missing_ok=True)
        return None
    return path


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.npy"


def _digest(key: str, array: bytes) -> bytes:
    # with the key, so that a file under another's name is not taken for it
    return hashlib.sha256(key.encode() + array).digest()
