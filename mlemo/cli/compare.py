"""Options of ``mlemo compare``."""

from __future__ import annotations

from pathlib import Path

from mlemo.cli.arguments import CommandParser

__all__ = ["SUFFIXES", "parser"]

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
