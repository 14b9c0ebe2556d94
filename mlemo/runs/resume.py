"""What is left to do of an interrupted run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlemo.runs.files import CONFIG, LAST
from mlemo.runs.latest import latest
from mlemo.runs.loading import read_checkpoint
from mlemo.runs.stored_config import stored_config

__all__ = ["remaining_fit"]

#: Loggers whose folder follows from ``save_dir``, ``name`` and ``version``.
FOLDER_LOGGERS = ("TensorBoardLogger", "CurveLogger", "CSVLogger")


def remaining_fit(folder: str | Path, trust: Iterable[str] = ()) -> list[str]:
    """Settings of ``mlemo fit`` that continue a run in its own folder, wherever that is now.

    A training that is complete, or was stopped early, is not trained any further, but its best checkpoint is tested.
    A run without a checkpoint that can be read begins anew.

    Args:
        folder: Folder of a run.
        trust: Modules of the user's own whose classes the run's config may name; they are imported.

    Returns:
        The words behind ``mlemo fit``.

    Raises:
        FileNotFoundError: There is neither a checkpoint nor a config.
        ValueError: The config cannot be read, or names a class that is not trusted.
    """
    folder = Path(folder)
    last, config = latest(LAST.path(folder)), CONFIG.path(folder)
    try:
        checkpoint = read_checkpoint(last)
    except (FileNotFoundError, ValueError):
        checkpoint = {}
    if "config" in checkpoint:
        source, file = f"--ckpt_path={last}", last
    elif config.is_file():
        source, file = f"--config={config}", config
        checkpoint = {"config": config.read_text(encoding="utf-8")}
    else:
        raise FileNotFoundError(f"{folder} is no run to resume: it has neither checkpoints/last.ckpt nor config.yaml")
    try:
        stored = stored_config(checkpoint, trust=trust)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if not isinstance(stored.get("trainer"), dict):
        raise ValueError(f"{file} holds no config of a run: it has no settings of a trainer")
    anew = [] if source.startswith("--ckpt_path") else ["--overwrite"]
    return [source, *anew, *_in_folder(stored, folder.resolve())]


def _in_folder(stored: dict[str, Any], folder: Path) -> list[str]:
    """Settings with which a run writes into its folder."""
    logger = stored["trainer"].get("logger")
    if logger in (None, True):
        logger = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": {}}
    several = logger if isinstance(logger, list) else [logger]
    if not several or not _has_folder(several[0]):
        return [f"--trainer.default_root_dir={folder}"]
    place = {"save_dir": str(folder.parent), "name": "", "version": folder.name}
    moved = [
        {**one, "init_args": {**one.get("init_args", {}), **place}} if _has_folder(one) else one for one in several
    ]
    return [f"--trainer.logger={json.dumps(moved if isinstance(logger, list) else moved[0])}"]


def _has_folder(logger: Any) -> bool:
    return isinstance(logger, dict) and str(logger.get("class_path")).endswith(FOLDER_LOGGERS)
