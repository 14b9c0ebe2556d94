"""``mlemo reproduce``: tables and figures of the papers by one command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.cli.arguments import CommandParser
from mlemo.cli.executor_options import add_executors, executor_of

if TYPE_CHECKING:
    from mlemo.experiments.reproduce import Outcome

__all__ = ["main", "parser"]

DESCRIPTION = """\
Run a study: all its combinations of settings and seeds that have not been run yet, on this machine, a Ray cluster or
Slurm. After an interruption, the same command continues; a run that was interrupted continues from its checkpoint. A
run that is done is never run again, also when another study has the same run.

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
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a value that the study needs, such as "
        "data_dir or encoder")  # fmt: skip
    add("--only", action="append", default=[], metavar="SETTING=LABEL", help="run a part: this label of a setting, or "
        "seed=N; several of one setting add up")  # fmt: skip
    add_executors(result, "runs")
    add("--folder", type=Path, default=Path("runs/studies"), metavar="DIR", help="where runs are kept, those of all "
        "studies (default: runs/studies)")  # fmt: skip
    add("--retry-failed", action="store_true", help="run failed runs again")
    add("--dry-run", action="store_true", help="list the runs and an estimate of their time, and run nothing")
    return result


def main(words: Sequence[str]) -> Outcome | None:
    """Run what is not yet run of a study, or list the studies.

    Args:
        words: Arguments after ``reproduce``.

    Returns:
        State of the study; ``None`` where no study was named.

    Raises:
        SystemExit: The command line or the study cannot be understood (2), a run failed (1), or interrupted (130).
    """
    own = parser()
    options = own.parse_args(list(words))
    from mlemo.experiments.part import part_of_words
    from mlemo.experiments.reproduce import reproduce
    from mlemo.experiments.study_file import load_study
    from mlemo.experiments.variables import variables_of

    if options.study is None:
        _print_studies()
        return None
    try:
        study = load_study(options.study)
        if options.scale is None:
            own.error(f"--scale is missing: {', '.join(study.scales)}")
        outcome = reproduce(
            study,
            options.scale,
            options.folder,
            variables=variables_of(options.set),
            only=part_of_words(options.only),
            executor=None if options.dry_run else executor_of(options),
            retry_failed=options.retry_failed,
            dry_run=options.dry_run,
        )
    except (OSError, ValueError) as error:
        own.error(str(error))
    except KeyboardInterrupt:
        own.exit(130, "interrupted; the same command continues\n")
    if outcome.failures:
        raise SystemExit(1)
    return outcome


def _print_studies() -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from mlemo.experiments.study_file import DEFINITIONS, load_study
    from mlemo.utils.messages import cell

    table = Table("study", "published in", "question", box=SIMPLE_HEAD, padding=0)
    for file in sorted(DEFINITIONS.glob("*.yaml")):
        study = load_study(file.stem)
        tables = dict.fromkeys([row.table for row in study.published] + [row.table for row in study.published_tests])
        table.add_row(study.name, cell(", ".join([study.paper, *tables])), cell(study.title))
    Console().print(table)
