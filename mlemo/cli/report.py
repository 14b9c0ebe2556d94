"""Options of ``mlemo report``."""

from __future__ import annotations

from pathlib import Path

from mlemo.cli.arguments import CommandParser

__all__ = ["parser"]

DESCRIPTION = """\
Report the finished runs of a study: every metric with its standard deviation over the seeds and a 95 % interval, the
published number, differences with tests, classes, figures, provenance of the runs, and missing runs.
Nothing is run. Markdown, LaTeX and one self-contained HTML page are written, with figures as PNG, SVG and PDF,
and the numbers of each run as CSV.

  mlemo reproduce wdl-losses --scale tiny
  mlemo report wdl-losses --scale tiny"""


def parser() -> CommandParser:
    """Create the parser of ``mlemo report``."""
    result = CommandParser("report", DESCRIPTION)
    add = result.add_argument
    add("study", metavar="NAME|FILE", help="a study of mlemo, or a YAML file")
    add("--scale", metavar="NAME", required=True, help="scale of the study")
    add("--folder", type=Path, default=Path("runs/studies"), metavar="DIR", help="folder of the runs (default: "
        "runs/studies)")  # fmt: skip
    add("--output", type=Path, metavar="DIR", help="folder of the report (default: reports/NAME_SCALE in that folder)")
    add("--only", action="append", default=[], metavar="SETTING=LABEL", help="report on a part: this label of a "
        "setting, or seed=N; several of one setting add up")  # fmt: skip
    add("--compare", metavar="SETTING", help="setting whose labels are compared with its first one (default: that "
        "of the study)")  # fmt: skip
    add("--resamples", type=int, default=5000, metavar="R", help="number of bootstrap resamples (default: 5000)")
    return result
