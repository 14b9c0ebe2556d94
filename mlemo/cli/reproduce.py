"""Options of ``mlemo reproduce``."""

from __future__ import annotations

from pathlib import Path

from mlemo.cli.arguments import CommandParser
from mlemo.cli.executors import add_executors

__all__ = ["parser"]

DESCRIPTION = """\
Run a study: all its combinations of settings and seeds that have not been run yet, on this machine, a Ray cluster or
Slurm. After an interruption, the same command continues; a run that was interrupted continues from its checkpoint. A
run that is done is never run again, also when another study asks for the same.

  mlemo reproduce                                        the studies that come with mlemo
  mlemo reproduce wdl-losses --scale tiny                needs no file and no network
  mlemo reproduce wdl-losses --scale small --only corpus=SemEval --set semeval_dir=DIR --set encoder=DIR --workers 2
  mlemo reproduce batch-selection --scale small --set data_dir=DIR --only dataset=scene --only network=DELA
  mlemo reproduce wdl-losses --scale paper --set semeval_dir=DIR --folder SHARED --ray auto
  mlemo reproduce my_study.yaml --scale tiny --dry-run   what would be run, and how long it would take"""


def parser() -> CommandParser:
    """The options of ``mlemo reproduce``."""
    result = CommandParser("reproduce", DESCRIPTION)
    add = result.add_argument
    add("study", nargs="?", metavar="NAME|FILE", help="a study of mlemo, or a YAML file; without it they are listed")
    add("--scale", metavar="NAME", help="how large: tiny, small or paper, or a scale of a study of your own")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a value that the study asks for, such as "
        "data_dir or encoder")  # fmt: skip
    add("--only", action="append", default=[], metavar="SETTING=LABEL", help="run a part: this label of a setting, or "
        "seed=N; several of one setting add up")  # fmt: skip
    add_executors(result, "runs")
    add("--folder", type=Path, default=Path("runs/studies"), metavar="DIR", help="where runs are kept, those of all "
        "studies (default: runs/studies)")  # fmt: skip
    add("--retry-failed", action="store_true", help="run failed runs again")
    add("--dry-run", action="store_true", help="list the runs and an estimate of their time, and run nothing")
    return result
