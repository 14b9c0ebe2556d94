"""A study's numbers beside the published ones: ``mlemo report``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from mlemo.cli.report import parser as make_parser
from mlemo.reports.classes import class_sections
from mlemo.reports.document import Block, Document, Heading
from mlemo.reports.figures import figures
from mlemo.reports.html import as_html
from mlemo.reports.latex import as_latex
from mlemo.reports.markdown import as_markdown
from mlemo.reports.provenance import code_versions, provenance
from mlemo.reports.results import Results, read_results
from mlemo.reports.run_table import run_table
from mlemo.reports.scores import Scores, score
from mlemo.reports.sections import (
    introduction,
    metric_sections,
    notes,
    overall_section,
    overview,
    published_alone,
    what_is_missing,
)
from mlemo.runs.atomic import write_atomically
from mlemo.studies.part import part_of_words
from mlemo.studies.study_file import load_study

__all__ = ["main", "make_report", "write_report"]

FIGURES = "figures"  # folder beside the report


def make_report(results: Results, scores: Scores) -> Document:
    """The report on the runs of a study.

    Args:
        results: The runs.
        scores: Their scores.
    """
    missing = [*results.missing, *scores.problems]
    classes = list(class_sections(results, missing))
    drawn = figures(results, scores, missing)
    pictures: list[Block] = [Heading("Figures"), *drawn] if drawn else []
    blocks: list[Block] = [
        *code_versions(results),
        *introduction(results, scores),
        *overview(results, scores),
        *pictures,
        *metric_sections(results, scores),
        *overall_section(results, scores),
        *classes,
        *published_alone(results),
        *notes(results),
        *what_is_missing(missing),
        *provenance(results),
    ]
    return Document(f"{results.study.title} ({results.study.name}, scale {results.scale})", blocks)


def write_report(document: Document, runs: pd.DataFrame, folder: Path) -> Path:
    """Write ``report.md``, ``report.tex``, ``report.html``, ``report.csv`` and the figures.

    Args:
        document: The report.
        runs: The numbers of each run.
        folder: Where to; figures of an earlier report there are removed.

    Returns:
        The page.
    """
    pictures = folder / FIGURES
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("figure_*"):
        old.unlink()
    for picture in document.pictures:
        for suffix, content in picture.files.items():
            write_atomically(pictures / f"{picture.name}.{suffix}", content, sync=False)
    write_atomically(folder / "report.md", as_markdown(document, FIGURES))
    write_atomically(folder / "report.tex", as_latex(document, FIGURES))
    write_atomically(folder / "report.html", as_html(document))
    write_atomically(folder / "report.csv", runs.to_csv(index=False))
    return folder / "report.html"


def main(words: Sequence[str]) -> Path:
    """``mlemo report``.

    Args:
        words: The command line behind ``report``.

    Returns:
        The page that was written.

    Raises:
        SystemExit: The command line cannot be understood, or there is nothing to report.
    """
    parser = make_parser()
    options = parser.parse_args(list(words))
    if options.resamples < 1:
        parser.error(f"--resamples must be at least 1, found {options.resamples}")
    if options.only and options.output is None:
        parser.error("--only wants --output, a folder beside that of the report on the whole study")
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
        scores = score(results, options.resamples)
        document = make_report(results, scores)
        output = options.output or options.folder / "reports" / f"{study.name}_{options.scale}"
        page = write_report(document, run_table(results, scores), output)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for suffix in (".md", ".tex", ".html", ".csv"):
        console.print(f"written: {page.with_suffix(suffix)}", soft_wrap=True, highlight=False, markup=False)
    return page
