"""Parts of reports in a notebook: a table, a figure, or the missing items, as a cell's output."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure as Drawing

from mlemo.experiments.study import RULE_SETTING, Labels
from mlemo.experiments.study_file import load_study
from mlemo.reporting.document import Block, Bullets, Document, Heading, Paragraph, Picture, Table
from mlemo.reporting.drawing import png
from mlemo.reporting.figures import figures
from mlemo.reporting.html import fragment
from mlemo.reporting.markdown import as_markdown
from mlemo.reporting.results import Results, Run, read_results
from mlemo.reporting.scores import Scores, score
from mlemo.reporting.sections import (
    introduction,
    metric_sections,
    notes,
    overall_section,
    overview,
    what_is_missing,
)
from mlemo.reporting.units import number

__all__ = ["Shown", "StudyView", "frame_table", "show"]

Section: TypeAlias = Callable[[Results, Scores], Iterable[Block]]
Chosen: TypeAlias = str | Collection[str]  # one label of a setting, or several

STYLE = "<style>.mlemo img { max-width: 100%; height: auto; background: #fff } .mlemo figure { margin: 0 }</style>"


class Shown:
    """Blocks of a report as a notebook's output: HTML with embedded figures and their text, or text as a fallback.

    Args:
        blocks: Blocks that are shown.
        folded: Blocks that are collapsed, by their summary.
    """

    def __init__(self, blocks: Iterable[Block], folded: Mapping[str, Iterable[Block]] | None = None) -> None:
        self.blocks = tuple(blocks)
        self.folded = {summary: tuple(own) for summary, own in (folded or {}).items()}

    def _repr_html_(self) -> str:
        """Return the formats displayed by Jupyter."""
        lines = [line for block in self.blocks for line in fragment(block)]
        for summary, blocks in self.folded.items():
            inner = "\n".join(line for block in blocks for line in fragment(block))
            lines.append(f"<details><summary>{summary}</summary>\n{inner}\n</details>")
        return "\n".join([f'{STYLE}<div class="mlemo">', *lines, "</div>"])

    def __repr__(self) -> str:
        """Return the blocks as text, with the alternative text of each figure."""
        folded = (block for summary, own in self.folded.items() for block in (Heading(summary, 3), *own))
        blocks = [*self.blocks, *folded]
        words: list[Block] = [
            Paragraph(f"{block.caption}. {block.alternative}") if isinstance(block, Picture) else block
            for block in blocks
        ]
        return as_markdown(Document("", words), "").removeprefix("# ").strip()


def show(document: Document | Iterable[Block]) -> Shown:
    """Show a report, or some of its blocks, as the output of a cell."""
    if isinstance(document, Document):
        return Shown([Heading(document.title, 1), *document.blocks])
    return Shown(document)


def frame_table(caption: str, frame: pd.DataFrame, decimals: int = 3, remarks: Collection[str] = ()) -> Table:
    """Convert a pandas table to one of a report, with columns of text to the left of those of numbers.

    Args:
        caption: Description of the table.
        frame: The table without its index, which ``reset_index`` converts to columns.
        decimals: Number of decimals of numbers that are not whole.
        remarks: Remarks below the table.

    Example:
        >>> frame_table("Counts", pd.DataFrame({"n": [3], "label": ["joy"], "share": [0.25]})).rows
        (('joy', '3', '0.250'),)
    """
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    order = sorted(range(len(numeric)), key=numeric.__getitem__)
    columns = [
        [
            number(float(value), None if pd.api.types.is_integer_dtype(own.dtype) else decimals)
            if known
            else str(value)
            for value in own
        ]
        for own, known in ((frame.iloc[:, place], numeric[place]) for place in order)
    ]
    head = tuple(str(frame.columns[place]) for place in order)
    return Table(caption, head, tuple(zip(*columns)), numeric.count(False), tuple(remarks))


class StudyView:
    """The finished runs of a study, shown part by part; missing items are named in place of their output.

    Args:
        study: Name of a study, or path of its file.
        scale: ``tiny``, ``small`` or ``paper``.
        folder: Folder of the runs.
        resamples: Number of bootstrap resamples.
        compare: Setting whose labels are compared with its first one; by default that of the study.

    Raises:
        FileNotFoundError: There is no such study.
        ValueError: The study has no such scale or setting.
    """

    def __init__(
        self, study: str | Path, scale: str, folder: str | Path, resamples: int = 5000, compare: str | None = None
    ) -> None:
        self.study, self.scale = load_study(study), scale
        if compare is not None:
            self.study = self.study.comparing(compare)
        if scale not in self.study.scales:
            raise ValueError(f"{self.study.path}: no scale {scale!r}; it has {', '.join(self.study.scales)}")
        self._found: tuple[Results, Scores] | None = None
        try:
            results = read_results(self.study, scale, Path(folder))
        except (FileNotFoundError, ValueError) as error:  # no run was started or finished, or files are damaged
            self._nothing = [str(error)]
        else:
            self._found = results, score(results, resamples)

    def introduction(self) -> Shown:
        """Show the study and its scale; collapsed, how to read the numbers, notes on them, and missing items."""
        title = [Heading(f"{self.study.title} ({self.study.name}, scale {self.scale})", 3)]
        if self._found is None:
            return Shown([*title, *_bullets(self._nothing)])
        results, scores = self._found
        missing = [*results.missing, *scores.problems]
        blocks = list(introduction(results, scores))
        what, how = ([block for block in blocks if isinstance(block, Bullets) is listed] for listed in (False, True))
        parts = {
            "How to read the numbers": how,
            "Notes on the numbers": notes(results),
            f"What is missing: {len(missing)}": what_is_missing(missing),
        }
        folded = {summary: [block for block in own if not isinstance(block, Heading)] for summary, own in parts.items()}
        return Shown([*title, *what], {summary: own for summary, own in folded.items() if own})

    def overview(self, **where: Chosen) -> Shown:
        """Show all metrics side by side, one line per combination of labels.

        Args:
            where: Setting = label or labels to show; see ``metric``.
        """
        return self._shown(where, overview)

    def metric(self, name: str, **where: Chosen) -> Shown:
        """Show one metric: measured numbers with intervals, published numbers, and tested differences between labels.

        Args:
            name: Name of one of the study's metrics.
            where: Setting = label or labels to show; other settings show all labels.

        Raises:
            ValueError: There is no such metric, setting or label.
        """
        if name not in self.study.metrics:
            raise ValueError(f"{self.study.path}: no metric {name!r}; it has {', '.join(self.study.metrics)}")

        def section(results: Results, scores: Scores) -> Iterator[Block]:
            study = replace(results.study, metrics={name: results.study.metrics[name]})
            return metric_sections(replace(results, study=study), scores)

        return self._shown(where, section)

    def overall(self) -> Shown:
        """Show Wilcoxon's test of the compared setting over combinations of the others, or a note if too few."""

        def section(results: Results, scores: Scores) -> Iterator[Block]:
            found = list(overall_section(results, scores))
            yield from found or [Paragraph("Too few combinations of the other settings are finished for a test.")]

        return self._shown({}, section)

    def figure(self, title: str) -> Shown:
        """Show one of the study's figures, with all its numbers as text.

        Args:
            title: Title in the study's file.

        Raises:
            ValueError: No figure has this title.
        """
        titles = [figure.title for figure in self.study.figures]
        if title not in titles:
            raise ValueError(f"{self.study.path}: no figure {title!r}; it has {'; '.join(titles)}")
        if self._found is None:
            return Shown(_bullets(self._nothing))
        missing: list[str] = []
        drawn = figures(*self._found, missing, only=(title,), save=_files)
        return Shown([*drawn, *_bullets(missing)])

    def runs(self, **where: Chosen) -> list[Run]:
        """Return the finished runs.

        Args:
            where: Setting = label or labels to keep; other settings keep all labels.
        """
        self._check(where)
        if self._found is None:
            return []
        return [run for run in self._found[0].runs if run.record is not None and _is_among(run.labels, where)]

    def _shown(self, where: Mapping[str, Chosen], section: Section) -> Shown:
        self._check(where)
        if self._found is None:
            return Shown(_bullets(self._nothing))
        results, scores = self._found
        kept = tuple(own for own in results.combinations if _is_among(own.labels, where))
        if not kept:
            return Shown(_bullets([f"no run of {self.study.name} at scale {self.scale} is finished with {where}"]))
        differences = [found for found in scores.differences if _is_among(found.labels, where)]
        part = replace(results, combinations=kept), replace(scores, differences=differences)
        return Shown(block for block in section(*part) if not isinstance(block, Heading))

    def _check(self, where: Mapping[str, Chosen]) -> None:
        known: dict[str, Collection[str]] = {RULE_SETTING: self.study.rules, **self.study.varies}
        for setting, labels in where.items():
            if setting not in known:
                raise ValueError(f"{self.study.path}: no setting {setting!r}; it has {', '.join(known)}")
            for label in [labels] if isinstance(labels, str) else labels:
                if label not in known[setting]:
                    raise ValueError(
                        f"{self.study.path}: {setting} has no {label!r}; it has {', '.join(known[setting])}"
                    )


def _is_among(labels: Labels, where: Mapping[str, Chosen]) -> bool:
    own = dict(labels)
    return all(own.get(name) in ([kept] if isinstance(kept, str) else kept) for name, kept in where.items())


def _bullets(lines: Iterable[str]) -> list[Block]:
    lines = tuple(lines)
    return [Paragraph("Missing:"), Bullets(lines)] if lines else []


def _files(drawing: Drawing) -> dict[str, bytes]:
    return {"png": png(drawing)}
