"""What is printed about a file of texts and labels, as pairs of a heading and a line."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from torch import Tensor

from mlemo.data.checks import listing
from mlemo.data.duplicates import conflicting, equal_groups, near_groups, normalized_groups, repeated_rows
from mlemo.data.inspection import Inspection
from mlemo.data.io.tables import DELIMITERS
from mlemo.data.io.text_lines import encoding_of
from mlemo.data.language import Language
from mlemo.labels import LabelSpace
from mlemo.utils.messages import shown

__all__ = ["report_lines"]

FEW_POSITIVES = 20
LISTED = 40  # labels and columns
MOST_COMPARED = 50_000  # texts, of which near duplicates are looked for


def report_lines(found: Inspection, language: Language) -> Iterator[tuple[str, str]]:
    """Describe a file.

    Args:
        found: The file.
        language: Of its texts.
    """
    corpus, settings = found.corpus, found.settings
    texts = corpus.texts or []
    yield "file", _format(found)
    yield "rows", f"{len(corpus):,}"
    for warning in corpus.warnings:
        yield "", warning.removeprefix(f"{found.path}: ")
    yield "texts", f"column {settings['text_column']!r}"
    yield "", f"for example {shown(next((text for text in texts if text.strip()), ''))}"
    if blank := sum(not text.strip() for text in texts):
        yield "", f"{blank:,} rows have no text"
    if "id_column" in settings:
        yield "ids", f"column {settings['id_column']!r}"
    if "group_column" in settings:
        yield "groups", f"column {settings['group_column']!r}"
    if found.unused:
        yield "not read", f"columns {listing([repr(name) for name in found.unused], LISTED)}"
    yield from _labels(found)
    yield "language", _language(language)
    words = [len(text.split()) for text in texts]
    yield "length", f"median {statistics.median(words):.0f} words, longest {max(words):,}"
    yield from _duplicates(corpus.label_space, texts, corpus.labels, corpus.mask)


def _format(found: Inspection) -> str:
    suffix, settings = found.path.suffix.lower(), found.settings
    words = [str(found.path)]
    if suffix not in (".xlsx", ".parquet"):
        encoding = settings.get("encoding") or {"utf-8-sig": "UTF-8"}.get(encoding_of(found.path, None), "UTF-16")
        remark = found.remarks.get("encoding")
        words.append(f"encoding {encoding}" + (f" ({remark})" if remark else ""))
    if suffix in DELIMITERS:
        words.append(f"cells delimited by {settings.get('delimiter') or DELIMITERS[suffix]!r}")
    return ", ".join(words)


def _labels(found: Inspection) -> Iterator[tuple[str, str]]:
    corpus, settings = found.corpus, found.settings
    names, positives = corpus.label_space.names, corpus.labels.sum(0).long().tolist()
    where = "one column each" if "label_column" not in settings else f"in column {settings['label_column']!r}"
    if "separator" in settings:
        where += f", joined by {settings['separator']!r}"
    if "true_values" in settings:
        where += f"; {', '.join(settings['true_values'])} mean 1"
    if "false_values" in settings:
        where += f"; {', '.join(settings['false_values'])} mean 0"
    yield "labels", f"{len(names)}, {where}"
    yield "", listing([f"{name} {count:,}" for name, count in zip(names, positives)], LISTED)
    per_row = corpus.labels.sum(1)
    yield "", f"{per_row.mean():.2f} labels a row; {int((per_row == 0).sum()):,} rows without a label"
    if few := [f"{name} {count}" for name, count in zip(names, positives) if count < FEW_POSITIVES]:
        yield "", f"fewer than {FEW_POSITIVES} positives, hard to learn and to score: {listing(few, LISTED)}"
    if found.empty_cells:
        reason = found.remarks.get("empty", "as given")
        yield "blanks", f"{found.empty_cells:,} empty label cells, read as {reason} (empty: {settings.get('empty')})"


def _language(language: Language) -> str:
    if language.name is None:
        return f"not found: {language.evidence}"
    return f"{language.name}{'' if language.certain else ', uncertain'} ({language.evidence})"


def _duplicates(space: LabelSpace, texts: Sequence[str], labels: Tensor, mask: Tensor) -> Iterator[tuple[str, str]]:
    equal, alike = equal_groups(texts), normalized_groups(texts)
    lines = f"{repeated_rows(equal):,} rows repeat the text of another row, {repeated_rows(alike):,} but for case, "
    lines += "punctuation and spacing"
    if len(texts) <= MOST_COMPARED:
        lines += f", {repeated_rows(near_groups(texts)):,} but for a few words (5-grams shared by 80 %)"
    yield "duplicates", lines
    conflicts = conflicting(equal, labels, mask)
    if groups := int(conflicts.any(1).sum()):
        counts = conflicts.sum(0).tolist()
        by_label = [f"{name} {count}" for name, count in zip(space.names, counts) if count]
        yield "conflicts", f"{groups:,} texts occur with different labels: {listing(by_label, LISTED)}"
