"""The report on a study: its numbers beside the published ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mlemo.reporting.claims import Finding, as_data, claim_table, verdicts
from mlemo.reporting.classes import class_sections
from mlemo.reporting.document import Block, Document, Heading
from mlemo.reporting.figures import figures, opening_figure
from mlemo.reporting.html import as_html
from mlemo.reporting.latex import as_latex
from mlemo.reporting.markdown import as_markdown
from mlemo.reporting.provenance import code_versions, provenance
from mlemo.reporting.ran import what_ran
from mlemo.reporting.results import Results, trained
from mlemo.reporting.run_records import FORMAT, check_records, run_record
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
from mlemo.runs.files import RESULTS

__all__ = ["make_report", "study_records", "write_report"]

FIGURES = "figures"  # folder beside the report


def make_report(results: Results, scores: Scores, found: Sequence[Finding] = ()) -> Document:
    """Create the report on the runs of a study.

    Args:
        results: The runs.
        scores: Scores of the runs.
        found: Findings on the claims of the study.
    """
    missing = [*results.missing, *scores.problems]
    classes = list(class_sections(results, missing))
    drawn = figures(results, scores, missing)
    pictures: list[Block] = [Heading("Figures"), *drawn] if drawn else []
    blocks: list[Block] = [
        *code_versions(results),
        *verdicts(results, found),
        *opening_figure(results, scores, found),
        *claim_table(results, found),
        *what_ran(results),
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


def study_records(results: Results, found: Sequence[Finding]) -> dict[str, Any]:
    """Create the records of the runs of a study and of its claims; see `mlemo.reporting.run_records`.

    Args:
        results: The runs.
        found: Findings on the claims of the study.
    """
    study = results.study.name
    runs = []
    for combination in trained(results.combinations):
        labels = dict(combination.labels[: len(results.study.varies)])
        name = f"{study}: {', '.join(labels.values())}"
        more = {"study": study, "scale": results.scale, "labels": labels}
        runs += [run_record(run.folder, name, **more) for run in combination.runs if _is_whole(run.folder)]
    content = {"format": FORMAT, "runs": runs, "claims": as_data(results, found)}
    check_records(content, study)
    return content


def _is_whole(folder: Path) -> bool:
    return RESULTS.path(folder, "test").is_file()


def write_report(document: Document, runs: pd.DataFrame, records: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.md``, ``report.tex``, ``report.html``, ``report.csv``, ``report.json`` and the figures.

    Args:
        document: The report.
        runs: The numbers of each run.
        records: Records of the runs and claims.
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
    write_atomically(folder / "report.json", json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    return folder / "report.html"
