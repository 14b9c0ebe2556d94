"""``mlemo report``: a study's numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlemo.cli.arguments import CommandParser

__all__ = ["main", "parser"]

DESCRIPTION = """\
Report the finished runs of a study: verdicts on its claims with a forest plot, what ran, every metric with its standard
deviation over the seeds and a 95 % interval, the published number, differences with tests, classes, figures,
provenance of the runs, and missing runs. Nothing is run. Written are Markdown, LaTeX and one self-contained HTML page,
with figures as PNG, SVG and PDF; the numbers of each run as CSV; and records of runs and claims as JSON, which
`mlemo leaderboard` merges.

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
    add("--resamples", type=int, metavar="R", help="number of bootstrap resamples (default: 5000, fewer for many texts "
        "and labels)")  # fmt: skip
    return result


def main(words: Sequence[str]) -> Path:
    """Write the report on the finished runs of a study.

    Args:
        words: Arguments after ``report``.

    Returns:
        The page that was written.

    Raises:
        SystemExit: The command line cannot be understood, or there is nothing to report.
    """
    own = parser()
    options = own.parse_args(list(words))
    if options.resamples is not None and options.resamples < 1:
        own.error(f"--resamples must be at least 1, found {options.resamples}")
    if options.only and options.output is None:
        own.error("--only needs --output, so that the report on the whole study is not replaced")
    from rich.console import Console

    from mlemo.experiments.part import part_of_words
    from mlemo.experiments.study_file import load_study
    from mlemo.reporting.claims import findings
    from mlemo.reporting.results import read_results
    from mlemo.reporting.run_table import run_table
    from mlemo.reporting.scores import score
    from mlemo.reporting.study_report import make_report, study_records, write_report

    console = Console()
    try:
        study = load_study(options.study)
        if options.compare is not None:
            study = study.comparing(options.compare)
        results = read_results(study, options.scale, options.folder, part_of_words(options.only))
        count = len(results.combinations)
        console.print(
            f"{study.name}, scale {options.scale}: scoring {count} combinations", highlight=False, markup=False
        )
        scores = score(results, options.resamples or 5000, bounded=options.resamples is None)
        found = findings(results, scores)
        document = make_report(results, scores, found)
        output = options.output or options.folder / "reports" / f"{study.name}_{options.scale}"
        page = write_report(document, run_table(results, scores), study_records(results, found), output)
    except (OSError, ValueError) as error:
        own.error(str(error))
    for suffix in (".md", ".tex", ".html", ".csv", ".json"):
        console.print(f"written: {page.with_suffix(suffix)}", soft_wrap=True, highlight=False, markup=False)
    return page
