"""The report on a study: its numbers beside the published ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mlemo.reporting.classes import class_sections
from mlemo.reporting.document import Block, Document, Heading
from mlemo.reporting.figures import figures
from mlemo.reporting.html import as_html
from mlemo.reporting.latex import as_latex
from mlemo.reporting.markdown import as_markdown
from mlemo.reporting.provenance import code_versions, provenance
from mlemo.reporting.results import Results
from mlemo.reporting.scores import Scores
from mlemo.reporting.sections import (
    introduction,
    metric_sections,
    notes,
    overall_section,
    overview,
    published_alone,
    what_is_missing,
)
from mlemo.runs.atomic import write_atomically

__all__ = ["make_report", "write_report"]

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
