"""``mlemo sweep``: search for good settings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.cli.arguments import CommandParser
from mlemo.cli.executor_options import add_executors, executor_of

if TYPE_CHECKING:
    import optuna

__all__ = ["main", "parser"]

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
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a value that the file needs "
        "for, such as data_dir")  # fmt: skip
    return result


def main(words: Sequence[str]) -> optuna.Study:
    """Run trials until enough are finished, and write the results.

    Args:
        words: Arguments after ``sweep``.

    Returns:
        The study, with all trials.

    Raises:
        SystemExit: Optuna is missing, or the arguments or the file are invalid (2); no trial was completed (1); or
            interrupted (130).
    """
    own = parser()
    options = own.parse_args(list(words))
    if find_spec("optuna") is None:
        own.exit(2, "mlemo sweep needs Optuna; install it with: pip install 'mlemo[sweep]'\n")
    from mlemo.experiments.sweep import sweep
    from mlemo.experiments.variables import variables_of

    try:
        study = sweep(
            options.file,
            options.folder,
            variables=variables_of(options.set),
            trials=options.trials,
            executor=executor_of(options),
        )
    except (OSError, ValueError) as error:
        own.error(str(error))
    except KeyboardInterrupt:
        own.exit(130, "interrupted; the same command continues\n")
    if not any(trial.state.name == "COMPLETE" for trial in study.trials):
        raise SystemExit(1)
    return study
