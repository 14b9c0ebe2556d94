"""``mlemo selection``: the epochs that validation scores choose, in the study of that name."""

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
Show test scores of the epochs that candidate monitors keep, over the finished trainings of the study `selection`.

  mlemo reproduce selection --scale tiny
  mlemo selection runs/studies --scale tiny"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo selection``."""
    result = CommandParser("selection", DESCRIPTION)
    add = result.add_argument
    add("folder", type=Path, help="folder of `mlemo reproduce selection`")
    add("--scale", default="small", metavar="NAME", help="scale of the study (default: small)")
    add("--by", choices=("corpus", "model"), help="one table per corpus or model")
    add("--patience", type=int, metavar="N", help="patience of the early stopping; 0 counts all epochs (default: as in "
        "training)")  # fmt: skip
    return result


def main(words: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Print a table per group of trainings.

    Args:
        words: Arguments after ``selection``.

    Returns:
        Group -> table; see `mlemo.experiments.selection.compare`.

    Raises:
        SystemExit: The arguments are invalid, or there is no finished training.
    """
    own = parser()
    options = own.parse_args(list(words))
    from mlemo.experiments.selection import PATIENCE, compare, finished_trainings

    try:
        tables = finished_trainings(options.folder, options.scale)
    except (OSError, ValueError) as error:
        own.error(str(error))
    groups: dict[str, dict[tuple[str, str, int], pd.DataFrame]] = {}
    for key, table in tables.items():
        label = {"corpus": key[0], "model": key[1], None: "all"}[options.by]
        groups.setdefault(label, {})[key] = table
    patience = PATIENCE if options.patience is None else options.patience or None
    found = {label: compare(group, patience) for label, group in groups.items()}
    for label, result in found.items():
        sys.stdout.write(f"{label}: {len(groups[label])} trainings\n{result.round(4).to_string()}\n\n")
    return found
