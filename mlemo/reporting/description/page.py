"""The page of a description, and the files with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from math import nan
from pathlib import Path

import torch

from mlemo.callbacks.label_figures import most_positive, which_labels
from mlemo.data import Corpus, EmotionDataModule
from mlemo.reporting.description.describe import Description
from mlemo.reporting.description.figures import label_figure, length_figure, size_figure, together_figure
from mlemo.reporting.description.repeats import MOST_SHOWN
from mlemo.reporting.document import Block, Bullets, Document, Heading, Paragraph, Table
from mlemo.reporting.html import as_html
from mlemo.reporting.units import number
from mlemo.runs.atomic import write_atomically
from mlemo.utils.messages import shortened

__all__ = ["MOST_ROWS", "description_page", "repeat_lines", "split_table", "write_description"]

FORMAT = 1  # of description.json
MOST_ROWS = 400  #: labels in the table of the page; description.json has all
PERCENTILES = (0, 5, 50, 95, 99, 100)


def description_page(found: Description, train: Corpus) -> Document:
    """Create the page.

    Args:
        found: The description.
        train: The training split, for the heat map of labels.
    """
    return Document(
        f"Description of {found.corpus}",
        [
            *_overview(found),
            *_labels(found),
            Heading("Label sets"),
            size_figure(found.splits),
            *_together(train),
            *_texts(found),
            *_repeats(found),
            *_notes(found),
        ],
    )


def write_description(found: Description, data: EmotionDataModule, folder: Path) -> Path:
    """Write ``description.html`` and ``description.json``.

    Args:
        found: The description.
        data: The corpus that it is of.
        folder: Folder of the files.

    Returns:
        The page.
    """
    content = {"format": FORMAT, **asdict(found)}
    write_atomically(folder / "description.json", json.dumps(content, indent=1, ensure_ascii=True) + "\n")
    page = as_html(description_page(found, data.corpus("train"))).encode("utf-8", "backslashreplace")
    write_atomically(folder / "description.html", page)
    return folder / "description.html"


def split_table(found: Description) -> Table:
    """Create the table of the splits, which the terminal shows too."""
    head = ("split", "rows", "labels per row", "density", "no label", "label sets", "unknown", "MeanIR")
    rows = [
        (
            split,
            f"{own.rows:,}",
            number(own.cardinality, 4),
            number(own.density, 4),
            _share(own.sizes[0], own.rows),
            f"{own.label_sets:,}",
            _share(own.not_annotated, own.rows * len(own.labels)),
            number(nan if own.mean_ir is None else own.mean_ir, 2),
        )
        for split, own in found.splits.items()
    ]
    return Table("Splits", head, tuple(rows), 1)


def repeat_lines(found: Description) -> list[str]:
    """Describe the repeated texts in lines, for the terminal; nothing for tabular corpora."""
    repeats = found.repeats
    if repeats is None:
        return []
    lines = [f"{split}: {count:,} rows repeat an earlier text" for split, count in repeats.within.items() if count]
    for pair, count in repeats.across.items():
        first, second = pair.split(", ")
        near = "" if repeats.near is None else f", and {repeats.near[pair] - count:,} that are similar to one"
        lines.append(f"{second}: {count:,} rows with a text of {first}{near}")
    return [*lines, f"{repeats.conflicting_texts:,} texts have different labels in different rows"]


def _overview(found: Description) -> Iterator[Block]:
    first = found.splits["train"]
    content = "texts" if first.inputs is None else f"rows of {first.inputs:,} inputs"
    rows = sum(own.rows for own in found.splits.values())
    yield Paragraph(
        f"{found.corpus}: {rows:,} {content} with {len(first.labels):,} labels, in {len(found.splits)} splits."
    )
    yield Heading("Splits")
    yield split_table(found)
    yield Paragraph(
        "Density: labels per row, divided by the number of labels. Label sets: different combinations of labels. "
        "Unknown: entries of the table of labels that are not annotated; they count as absent in labels per row. "
        "MeanIR: mean imbalance ratio over the labels that occur, where the ratio of a label (IRLbl) is the count of "
        "the most frequent label divided by its count (Charte et al. 2015)."
    )
    dropped = [
        f"{split}: {count:,} rows were left out: {reason}"
        for split, own in found.splits.items()
        for reason, count in own.dropped.items()
    ]
    if dropped or found.warnings:
        yield Bullets((*dropped, *found.warnings))


def _labels(found: Description) -> Iterator[Block]:
    yield Heading("Labels")
    yield label_figure(found.splits)
    first = found.splits["train"]
    positives = torch.tensor([label.positives for label in first.labels])
    shown = most_positive(positives, MOST_ROWS).tolist()
    head = ["label", "IRLbl in train", *(f"{split}{unit}" for split in found.splits for unit in ("", ", %"))]
    rows = []
    for label in shown:
        cells = [first.labels[label].name, number(first.labels[label].irlbl or nan, 2)]
        for own in found.splits.values():
            count = own.labels[label]
            cells += [f"{count.positives:,}", number(nan if count.share is None else 100 * count.share, 2)]
        rows.append(tuple(cells))
    which = which_labels(len(shown), len(positives))
    remarks = (f"{which} in train; description.json has all.",) if which else ()
    yield Table(
        "Rows with each label, and their percentage of the annotated rows", tuple(head), tuple(rows), 1, remarks
    )


def _together(corpus: Corpus) -> Iterator[Block]:
    yield Heading("Labels that go together")
    if len(corpus.label_space) < 2 or not corpus.labels.any():
        yield Paragraph("Nothing to show: it needs two labels, and rows that have one.")
        return
    yield together_figure(corpus)
    yield Paragraph(
        "Rows and columns are ordered so that labels that go together are next to each other (average linkage over "
        "1 − Pearson correlation). An empty cell has no row in which both labels are annotated."
    )


def _texts(found: Description) -> Iterator[Block]:
    lengths = {split: own.lengths for split, own in found.splits.items() if own.lengths}
    if not lengths:
        return
    yield Heading("Texts")
    limits = {} if found.max_length is None else {"tokens": found.max_length}
    yield length_figure(lengths, limits)
    rows = [
        (split, unit, number(own.mean, 1), *(f"{own.percentiles[p]:,}" for p in PERCENTILES))
        for split, units in lengths.items()
        for unit, own in units.items()
    ]
    head = ("split", "unit", "mean", "shortest", "5 %", "median", "95 %", "99 %", "longest")
    yield Table("Lengths of the texts", head, tuple(rows), 2)
    yield Paragraph(
        "Before any cleaning of a model. Words are between blanks, which Chinese and Japanese texts do not have. "
        "p %: the length that p % of the texts do not exceed."
    )
    empty = [f"{split}: {own.empty_texts:,} empty texts" for split, own in found.splits.items() if own.empty_texts]
    cut = [
        f"{split}: {count:,} texts ({_share(count, found.splits[split].rows)}) have more than {found.max_length:,} "
        f"tokens of {found.encoder} and are truncated"
        for split, count in found.truncated.items()
    ]
    yield Bullets(tuple(empty or ["No text is empty."]) + tuple(cut))


def _repeats(found: Description) -> Iterator[Block]:
    repeats = found.repeats
    if repeats is None:
        return
    yield Heading("Repeated texts")
    places = [(f"within {split}", f"{count:,}", "–") for split, count in repeats.within.items()]
    for pair, count in repeats.across.items():
        first, second = pair.split(", ")
        near = "–" if repeats.near is None else f"{repeats.near[pair]:,}"
        places.append((f"rows of {second} whose text is in {first}", f"{count:,}", near))
    yield Table("Repeated texts", ("where", "equal", "equal or similar"), tuple(places), 1)
    similar = ""
    if found.similarity is not None:
        similar = (
            " Similar: texts in one case without punctuation whose sets of character 5-grams share at least "
            f"{found.similarity:g} of their union, or that are connected by such texts."
        )
    yield Paragraph(
        "Within a split: rows whose text is that of an earlier row. A text of the test split that is also in training "
        f"raises a score without any generalization.{similar}"
    )
    yield Heading("Equal texts with different labels")
    if not repeats.conflicting_texts:
        yield Paragraph("None: all rows with the same text have the same labels, as far as these are annotated.")
        return
    counts = sorted(repeats.conflicting_labels.items(), key=lambda item: -item[1])
    yield Table(
        f"{repeats.conflicting_texts:,} texts have different labels in different rows, of one split or several",
        ("label", "texts"),
        tuple((name, f"{count:,}") for name, count in counts[:MOST_ROWS]),
        1,
    )
    rows = [
        (
            f"{shortened(conflict.text)} ({conflict.occurrences:,} rows)",
            ", ".join(conflict.labels),
            f"{split} {name}",
            ", ".join(labels) or "no label",
        )
        for conflict in repeats.examples
        for split, name, labels in conflict.rows
    ]
    remarks = ["A question mark: the label is not annotated in this row."] if any("?" in row[3] for row in rows) else []
    if any(conflict.occurrences > MOST_SHOWN for conflict in repeats.examples):
        remarks.append(f"Of each text at most {MOST_SHOWN} rows are shown.")
    caption = f"Examples: the first {len(repeats.examples):,} of these texts"
    yield Table(caption, ("text", "disputed labels", "row", "its labels"), tuple(rows), 4, tuple(remarks))


def _notes(found: Description) -> Iterator[Block]:
    yield Heading("Notes")
    settings = (f"{name}: {value}" for name, value in found.settings.items() if value is not None)
    yield Bullets((*found.notes, f"settings of the corpus: {', '.join(settings)}"))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"
