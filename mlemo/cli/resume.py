"""``mlemo resume``: continue an interrupted run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["main", "parser"]

log = logging.getLogger(__name__)

COMPLETE = ("finished", "stopped early")  #: states of a training that continues only with other settings

DESCRIPTION = """Continue a run that was killed, preempted or interrupted, in its own folder.

Trains on from the latest checkpoint, runs a validation that had not ended, and tests the best checkpoint. A run that
was stopped early or had all its epochs is only tested; a run without a checkpoint begins anew. The folder may have been
moved, also to another machine. Settings behind the folder replace those of the run:

  mlemo resume runs/version_3
  mlemo resume runs/version_3 --data.data_dir DIR --trainer.devices 2
  mlemo resume runs/version_3 --trainer.max_epochs 20       train a finished run on"""


def parser() -> CommandParser:
    """The options of ``mlemo resume``."""
    result = CommandParser("resume", DESCRIPTION)
    result.add_argument("run", metavar="RUN", help="folder of a run")
    add_trust(result)
    return result


def main(words: Sequence[str]) -> object:
    """Continue a run.

    Args:
        words: The folder, and settings of ``mlemo fit`` behind it.

    Returns:
        The ``MlemoCLI`` of the training; ``None`` where the run is complete and no setting is given.

    Raises:
        FileNotFoundError: The folder is not that of a run.
        SystemExit: There is no folder among the words.
    """
    options, settings = parser().parse_known_args(list(words))
    from mlemo.runs.manifest import read_manifest
    from mlemo.runs.resume import remaining_fit
    from mlemo.training import run

    manifest = read_manifest(options.run)
    if manifest is not None and manifest.tested is not None and manifest.state in COMPLETE and not settings:
        log.info(
            "%s: the training is %s, and its best checkpoint is tested; nothing is left", options.run, manifest.state
        )
        return None
    trust = [f"--trust={module}" for module in options.trust]
    return run("fit", [*remaining_fit(options.run, options.trust), *settings, *trust])
