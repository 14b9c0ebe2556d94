"""``mlemo resume``: continue a run that was broken off."""

from __future__ import annotations

from collections.abc import Sequence

from mlemo.cli.arguments import CommandParser, add_trust

__all__ = ["main", "parser"]

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
        The ``MlemoCLI`` of the training.

    Raises:
        FileNotFoundError: The folder is not that of a run.
        SystemExit: There is no folder among the words.
    """
    options, settings = parser().parse_known_args(list(words))
    from mlemo.runs.resume import remaining_fit
    from mlemo.training import run

    trust = [f"--trust={module}" for module in options.trust]
    return run("fit", [*remaining_fit(options.run, options.trust), *settings, *trust])
