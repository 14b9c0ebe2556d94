"""Reading checkpoint files, with errors that say what is wrong with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from mlemo.runs.files import BEST, LAST
from mlemo.runs.latest import latest

__all__ = ["find_checkpoint", "read_checkpoint"]

NAMES = (BEST.name, LAST.name, "best.ckpt", "last.ckpt")


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint that a path names: the file itself, or the best (else the last) one of a run's folder.

    A ``last.ckpt`` that cannot be read gives way to the checkpoint before it, see :func:`mlemo.runs.latest.latest`.

    Raises:
        FileNotFoundError: There is no such file or folder, or no checkpoint in the folder.
    """
    path = Path(path)
    if (file := latest(path)).is_file():
        return file
    if path.is_dir():
        for name in NAMES:
            if (file := latest(path / name)).is_file():
                return file
        raise FileNotFoundError(f"no checkpoint in {path}; expected one of {', '.join(NAMES)}")
    raise FileNotFoundError(f"no checkpoint at {path}: there is no such file or folder")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint on the CPU; only tensors and plain values are read, no code is run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is cut short or damaged, holds other things than a checkpoint may, or is no checkpoint of
            mlemo.
    """
    path = find_checkpoint(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as a checkpoint; it may have been cut short while "
            f"it was written or copied. Use another checkpoint of the run. ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path} holds no model weights (no 'state_dict'); it is no checkpoint of mlemo")
    return checkpoint
