"""Where a run writes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger

from mlemo.runs.files import BEST, METRICS
from mlemo.runs.place import claim, clear, folder_of_checkpoint, next_version

__all__ = ["name_folder", "root_folder", "run_folder", "take_folder"]

ROOT = "runs"  #: of the folders of runs whose logger has none


def run_folder(trainer: Trainer) -> Path:
    """Folder of the first logger, or the trainer's root folder without a logger that has one.

    Unlike ``trainer.log_dir`` this does not communicate, so the main process may call it alone.
    """
    logger: Any = trainer.logger
    return Path(logger.log_dir if _has_folder(logger) else trainer.default_root_dir)


def root_folder(settings: Mapping[str, Any], name: str | None, checkpoint: str | Path | None) -> str | None:
    """The root folder of a trainer: that of the run alone, where no logger has a folder.

    It is ``trainer.default_root_dir`` if that is set, and else a new folder in ``runs``, or that of the run which is
    continued.

    Args:
        settings: Settings of the trainer, with loggers made.
        name: Name of the run.
        checkpoint: What a training continues from.

    Returns:
        ``trainer.default_root_dir`` of the run; ``None`` for Lightning's own.
    """
    logger, root = settings.get("logger"), settings.get("default_root_dir")
    first = logger[0] if isinstance(logger, list) and logger else logger
    if first in (None, True) or _has_folder(first) or settings.get("fast_dev_run"):
        return root
    if name is not None:
        return str(Path(ROOT if root is None else root, name))
    if root is not None:
        return root
    own = None if checkpoint is None else folder_of_checkpoint(checkpoint)
    return str(next_version(Path(ROOT)) if own is None else own)


def name_folder(trainer: Trainer, name: str | None) -> None:
    """Have the first logger and the checkpoints use the folder of the run.

    Args:
        trainer: A trainer that has not run, made with a `root_folder`.
        name: Name of the run; ``None`` for the next number.

    Raises:
        ValueError: The logger chooses its folder by itself.
    """
    logger: Any = trainer.logger
    if not _has_folder(logger):
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(Path(trainer.default_root_dir, BEST.name).parent)
    elif name is not None:
        if not hasattr(logger, "_version"):
            raise ValueError(f"--name: {type(logger).__name__} chooses its folder by itself; name it in trainer.logger")
        logger._version = name  # Lightning's loggers have no other way to be named once they are made


def take_folder(trainer: Trainer, checkpoint: str | Path | None = None, overwrite: bool = False) -> None:
    """Take the folder that a training is about to write into; called in every process before any of them writes.

    Args:
        trainer: The trainer.
        checkpoint: What the training continues from.
        overwrite: Delete the files of another run that is there.

    Raises:
        ValueError: Another run is there.
    """
    logger: Any = trainer.logger
    counted = _has_folder(logger) and getattr(logger, "_version", "") is None
    folder = run_folder(trainer)
    if not overwrite:
        claim(folder, checkpoint)
    if not trainer.is_global_zero:
        return
    if overwrite:
        clear(folder, checkpoint)
    _keep_curves(folder)
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=not counted)
            return
        except FileExistsError:
            if not counted:
                raise
            logger._version = None  # a training that was started at the same time has this number: the next one
            folder = run_folder(trainer)


def _keep_curves(folder: Path) -> None:
    """Rename the curves that a training which is continued has written: Lightning's `CSVLogger` would delete them."""
    curves = METRICS.path(folder)
    if curves.is_file():
        number = next(number for number in count(1) if not curves.with_name(f"metrics.{number}.csv").exists())
        curves.rename(curves.with_name(f"metrics.{number}.csv"))


def _has_folder(logger: Any) -> bool:
    own = getattr(type(logger), "log_dir", None)  # asking the logger itself would fix its number
    return own is not None and own is not Logger.log_dir
