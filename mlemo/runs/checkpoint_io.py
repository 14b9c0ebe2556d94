"""How checkpoints are written: whole, or not at all, with the latest one before kept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.fabric.utilities.types import _PATH

from mlemo.runs.atomic import remove_parts, write_atomically
from mlemo.runs.files import LAST, PREVIOUS

__all__ = ["AtomicCheckpointIO"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file in its own folder, waits for the disk, and renames it.

    Lightning writes to the temporary folder of the system. Where that is another file system it copies the file over
    the checkpoint before it, which a full disk or a kill during the copy destroys. Before ``last.ckpt`` is replaced,
    the one before it becomes ``last-previous.ckpt``, for the case that the disk damages the latest one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Write a checkpoint; those at addresses of object stores are written by Lightning.

        Args:
            checkpoint: State of the model and the training.
            path: The file; its folder is made.
            storage_options: Not used.

        Raises:
            OSError: The file cannot be written; the checkpoint before it is kept.
            TypeError: ``storage_options`` are given.
        """
        if storage_options is not None or "file" not in _protocols(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        file = Path(path)
        # in memory first, as Lightning does: torch's own writer does not say that a disk is full
        content = io.BytesIO()
        torch.save(checkpoint, content)
        remove_parts(file)
        is_last = file.name == Path(LAST.name).name
        previous = file.with_name(Path(PREVIOUS.name).name) if is_last else None
        write_atomically(file, content.getbuffer(), previous=previous)


def _protocols(path: _PATH) -> tuple[str, ...]:
    protocol = get_filesystem(path).protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
