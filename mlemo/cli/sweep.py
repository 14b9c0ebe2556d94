"""Options of ``mlemo sweep``."""

from __future__ import annotations

from pathlib import Path

from mlemo.cli.arguments import CommandParser
from mlemo.cli.executors import add_executors

__all__ = ["parser"]

DESCRIPTION = """\
Search for good settings: train with values that Optuna proposes (tree-structured Parzen estimator; trials that do badly
are stopped early), and look at validation only. After an interruption, or with more trials, the same command continues.

  mlemo sweep configs/sweep/synthetic.yaml              needs no file and no network
  mlemo sweep configs/sweep/semeval2018_english.yaml --set data_dir=DIR --workers 2 --trials 40"""


def parser() -> CommandParser:
    """The options of ``mlemo sweep``."""
    result = CommandParser("sweep", DESCRIPTION)
    add = result.add_argument
    add("file", type=Path, metavar="FILE", help="the sweep, as YAML")
    add("--trials", type=int, metavar="N", help="how many are to be finished (default: as in the file)")
    add_executors(result, "trials")
    add("--folder", type=Path, default=Path("runs/sweeps"), metavar="DIR", help="where sweeps are kept, each in a "
        "folder with its name (default: runs/sweeps)")  # fmt: skip
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a value that the file asks "
        "for, such as data_dir")  # fmt: skip
    return result
