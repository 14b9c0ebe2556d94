"""``mlemo compare``: metrics of runs side by side, from their saved predictions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from mlemo.cli.arguments import CommandParser

if TYPE_CHECKING:
    from mlemo.reporting.comparison import Row

__all__ = ["SUFFIXES", "main", "parser"]

#: Default number of resamples.
RESAMPLES = 5000
#: Suffixes of the output files of the table.
SUFFIXES = (".md", ".csv", ".json", ".tex")

DESCRIPTION = """\
Compare runs by their saved predictions: every metric with an interval by resampling the test samples, its difference
from the baseline with a paired interval, and a p-value, also corrected (Holm) for the comparisons of that metric.

A RUN is a run's folder or a predictions file. Several seeds of one system are one argument: NAME=RUN,RUN,RUN or a
quoted glob, "NAME=runs/plain-*". Their value is the mean over the seeds, shown with its standard deviation. Intervals
and p-values then include the variance of the samples and of the seeds: the variance between seeds is added to that of
the resamples, with Student's quantile in place of the normal one, because two or three seeds give a poor estimate of
it (Satterthwaite's degrees of freedom). Seeds of two systems are not paired with each other. A system with one run
compared with one with several is assigned the seed variance of the other; if both have one run, the result does not
include the seeds, which is noted. Macro-averages of labels with few positives have wide intervals, and the labels are
named in a note. docs/uncertainty.md has the method and its coverage in simulations."""


def parser() -> CommandParser:
    """Create the parser of ``mlemo compare``."""
    result = CommandParser("compare", DESCRIPTION)
    add = result.add_argument
    add("runs", nargs="+", metavar="RUN", help="a run, or several seeds of one system as [NAME=]RUN,RUN or a quoted "
        "glob")  # fmt: skip
    add("--metrics", nargs="+", default=["jaccard", "micro_f1", "macro_f1"], metavar="NAME",
        help="names as in a run's results (default: jaccard micro_f1 macro_f1)")  # fmt: skip
    add("--baseline", metavar="NAME", help="the system that the others are compared with (default: the first)")
    add("--split", choices=("test", "val"), default="test", help="split of the predictions (default: test)")
    add("--threshold", type=float, metavar="T", help="one threshold, such as 0.5, instead of each run's own rule")
    add("--method", choices=("bootstrap", "randomization"), default="bootstrap", help="method of p: the paired "
        "bootstrap, or swapping the outputs of two single runs sample by sample (default: bootstrap)")  # fmt: skip
    add("--resamples", type=int, metavar="R", help="number of resamples (default: 5000, fewer for many "
        "texts and labels)")  # fmt: skip
    add("--confidence", type=float, default=0.95, metavar="C", help="level of the intervals (default: 0.95)")
    add("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    add("--output", type=Path, metavar="FILE", help=f"also write the table: {', '.join(SUFFIXES)}")
    return result


def main(words: Sequence[str]) -> list[Row]:
    """Print the table, and write it to ``--output``.

    Args:
        words: Arguments after ``compare``.

    Returns:
        The rows of the table.

    Raises:
        SystemExit: The arguments are invalid, or the predictions cannot be read or compared.
    """
    own = parser()
    options = own.parse_args(list(words))
    from mlemo.metrics.intervals import BUDGET, FEWEST, resamples_within_budget
    from mlemo.reporting.comparison import compare_runs, notes_of
    from mlemo.reporting.comparison_table import WRITERS, print_rows
    from mlemo.runs.atomic import write_atomically
    from mlemo.runs.predictions import read_predictions
    from mlemo.utils.messages import visible

    if options.output is not None and options.output.suffix not in WRITERS:
        own.error(f"--output must end in {', '.join(WRITERS)}, found {options.output}")
    settings = {key: value for key, value in vars(options).items() if key not in ("runs", "split", "output")}
    try:
        systems = {
            name: [read_predictions(path) for path in paths] for name, paths in _systems(options.runs, options.split)
        }
        if settings["resamples"] is None:
            shape = next(iter(systems.values()))[0].probabilities.shape
            settings["resamples"] = resamples_within_budget(RESAMPLES, *shape) or FEWEST
        rows = compare_runs(systems, **settings)
    except (FileNotFoundError, ValueError) as error:
        own.error(str(error))
    settings["baseline"] = settings["baseline"] or next(iter(systems))
    notes = notes_of(systems, settings)
    if options.resamples is None and settings["resamples"] < RESAMPLES:
        notes.append(
            f"{settings['resamples']:,} resamples in place of {RESAMPLES:,}: limited to {BUDGET:,} entries per run, "
            f"or {FEWEST} resamples; set --resamples for any number"
        )
    print_rows(rows, notes)
    if options.output is not None:
        files = {name: [str(run.path) for run in runs] for name, runs in systems.items()}
        text = WRITERS[options.output.suffix](rows, notes, settings | {"files": files})
        write_atomically(options.output, text)
        sys.stdout.write(visible(f"written: {options.output}\n"))
    return rows


def _systems(words: Sequence[str], split: str) -> Iterator[tuple[str, list[Path]]]:
    """Parse name and predictions files of each system on the command line."""
    names = set()
    for word in words:
        name, equals, rest = word.partition("=")
        if not equals or "/" in name or _matches(word):  # a folder may have "=" in its name
            given = _name_of(Path(word))
            name, rest = word if given is None or given in names else given, word
        if name in names:
            raise ValueError(f"two systems are called {name!r}; give names, as in NAME=RUN")
        names.add(name)
        files = []
        for pattern in [rest] if _matches(rest) else rest.split(","):
            paths = _matches(pattern)
            if not paths:
                raise FileNotFoundError(f"no run {pattern!r}")
            files += [path / f"predictions_{split}.csv" if path.is_dir() else path for path in paths]
        yield name, files


def _name_of(run: Path) -> str | None:
    """Return the ``--name`` of a run, if any."""
    from mlemo.runs.manifest import read_manifest

    manifest = read_manifest(run) if run.is_dir() else None
    return None if manifest is None else manifest.name


def _matches(pattern: str) -> list[Path]:
    """Return the path itself if it exists, since it may contain "*" or "[", or else the matches of the glob."""
    return [Path(pattern)] if Path(pattern).exists() else sorted(map(Path, glob(pattern)))
