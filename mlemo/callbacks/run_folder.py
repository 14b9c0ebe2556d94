"""Where a run writes."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer

__all__ = ["run_folder"]


def run_folder(trainer: Trainer) -> Path:
    """Folder of the first logger, or the trainer's root folder without one.

    Unlike ``trainer.log_dir`` this asks no other process, so the main process may call it alone.
    """
    logger = trainer.logger
    folder = None if logger is None else getattr(logger, "log_dir", None) or logger.save_dir
    return Path(folder or trainer.default_root_dir)
