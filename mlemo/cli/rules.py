"""``mlemo rules``: decision rules fitted on the saved predictions of runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.cli.arguments import CommandParser

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["main", "parser"]

DESCRIPTION = """\
Fit every decision rule on the saved validation predictions of runs, and show its validation score, its test score and
the difference, as means over the runs. Nothing is trained.

  mlemo rules runs/version_0 runs/version_1"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo rules``."""
    result = CommandParser("rules", DESCRIPTION)
    result.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a tested run")
    return result


def main(words: Sequence[str]) -> pd.DataFrame:
    """Print the table.

    Args:
        words: Arguments after ``rules``.

    Returns:
        One row per rule; see `mlemo.experiments.rules.rule_optimism`.

    Raises:
        SystemExit: The arguments are invalid, or predictions cannot be read.
    """
    own = parser()
    options = own.parse_args(list(words))
    from mlemo.experiments.rules import mean_optimism

    try:
        table = mean_optimism(options.runs)
    except (OSError, ValueError) as error:
        own.error(str(error))
    sys.stdout.write(table.round(3).to_string() + "\n")
    return table
