"""``mlemo fit | validate | test | predict``."""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mlemo.runs.files import LAST
from mlemo.runs.loading import find_checkpoint, read_checkpoint
from mlemo.runs.stored_config import INFERENCE, only_known_imports, stored_config
from mlemo.training.lightning_cli import MlemoCLI, make_cli
from mlemo.utils.serialization import import_trusted

__all__ = ["instantiate", "run"]


def run(command: str, words: Sequence[str]) -> MlemoCLI:
    """Run a training command.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        words: The rest of the command line.

    Raises:
        FileNotFoundError: ``--ckpt_path`` names no file.
        ValueError: The checkpoint cannot be read.
    """
    given = [command, *words]
    words, trust = _take_trust(words)
    path = _checkpoint_of(words)
    if path is None:
        if command != "fit" and not words:
            raise ValueError(
                f"`mlemo {command}` needs a checkpoint: --ckpt_path FILE, or the folder of a run; with --data and "
                "--model instead, a model is built that has not been trained"
            )
        import_trusted(trust)
        return _run(given, words)
    # a training continues from the latest checkpoint of a folder
    file = find_checkpoint(LAST.path(path) if command == "fit" and Path(path).is_dir() else path)
    checkpoint = read_checkpoint(file)
    config = _config_of_checkpoint(command, checkpoint, file, trust)
    with only_known_imports(config, trust), tempfile.TemporaryDirectory() as folder:
        stored = Path(folder, "config.yaml")
        stored.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return _run(given, [f"--config={stored}", *words, f"--ckpt_path={file}", "--weights_only=true"], checkpoint)


def _run(given: list[str], words: list[str], checkpoint: dict[str, Any] | None = None) -> MlemoCLI:
    # Lightning's own table of all metrics is replaced by that of `Results`; all of them are in its JSON file
    command = given[0]
    quiet = ["--verbose=false"] if command in ("validate", "test") else []
    if command != "fit":
        warnings.filterwarnings("ignore", message="The dirpath has changed.*")  # no best checkpoint is looked for
    return make_cli([command, *quiet, *words], run=True, command=given, checkpoint=checkpoint)


def instantiate(words: Sequence[str]) -> MlemoCLI:
    """Model, datamodule and trainer of a config, without running anything: the start of a notebook.

    Args:
        words: Settings as on the command line, without a command, such as ``["--config", "my.yaml"]``.

    Returns:
        A ``MlemoCLI`` with ``model``, ``datamodule`` and ``trainer``.
    """
    return make_cli(list(words), run=False, command=["instantiate", *words])


def _checkpoint_of(words: Sequence[str]) -> str | None:
    """What the last ``--ckpt_path`` among words names; ``None`` where there is none, or null."""
    found = None
    for place, word in enumerate(words):
        if word == "--ckpt_path" and place + 1 < len(words):
            found = words[place + 1]
        elif word.startswith("--ckpt_path="):
            found = word.removeprefix("--ckpt_path=")
    return None if found == "null" else found


def _config_of_checkpoint(
    command: str, checkpoint: Mapping[str, Any], file: Path, trust: Sequence[str]
) -> dict[str, Any]:
    """The settings of a checkpoint that a command begins with, before those of the command line.

    ``fit`` continues with all of them. The others take data, model and decision rule, and the precision, on which
    scores depend; callbacks, loggers and the rest of the trainer are the user's own.
    """
    try:
        config = stored_config(checkpoint, None if command == "fit" else INFERENCE, trust)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if command != "fit":
        return config
    for key in ("ckpt_path", "weights_only", "return_predictions", "verbose"):
        config.pop(key, None)  # arguments of the command that was run then, not of this one
    trainer = config.get("trainer")
    logger = trainer.get("logger") if isinstance(trainer, dict) else None
    if isinstance(logger, dict) and "version" in logger.get("init_args", {}):
        logger["init_args"]["version"] = file.resolve().parent.parent.name  # continue in the folder of the run
    return config


def _take_trust(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take ``--trust MODULE`` out of words whose parser does not have it.

    Args:
        words: A command line.

    Returns:
        The other words, and the modules.

    Example:
        >>> _take_trust(["--trust", "mine", "--ckpt_path=last.ckpt"])
        (['--ckpt_path=last.ckpt'], ['mine'])
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--trust", action="append", default=[])
    options, others = parser.parse_known_args(list(words))
    return others, options.trust
