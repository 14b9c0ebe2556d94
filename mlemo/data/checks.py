"""Checks of what a reader found: ids, and splits that cannot be learned from or scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mlemo.data.corpus import Corpus
from mlemo.utils.messages import shown

__all__ = [
    "check_ids",
    "check_positives",
    "count_warnings",
    "fold_warnings",
    "invisible",
    "listing",
    "split_warnings",
]

#: Training splits with fewer rows are warned of.
FEW_ROWS = 100

#: Characters that names and ids must not hold: two that look the same would be different.
INVISIBLE = {"\ufeff": "U+FEFF, an invisible byte-order mark", "\0": "a NUL character"}


def check_ids(
    ids: Sequence[str],
    where: Callable[[int], str],
    numbers: Sequence[int] | None = None,
    known: dict[str, int] | None = None,
) -> None:
    """Refuse identifiers of one file that do not identify its rows.

    Args:
        ids: One per row.
        where: File and line of a row's number, for messages.
        numbers: One per row; ``None`` counts the rows from 0.
        known: Number of each id that was met in the same file before; those of ``ids`` are added.

    Raises:
        ValueError: An id is empty, occurs twice, or holds a character of ``INVISIBLE``.
    """
    first = {} if known is None else known
    for number, identifier in zip(range(len(ids)) if numbers is None else numbers, ids):
        if not identifier.strip():
            raise ValueError(f"{where(number)}: the id is empty")
        if found := invisible(identifier):
            raise ValueError(f"{where(number)}: the id {shown(identifier)} holds {found}; remove it")
        if first.setdefault(identifier, number) != number:
            raise ValueError(
                f"{where(number)}: the id {shown(identifier)} occurs a second time, first in {where(first[identifier])}"
            )


def count_warnings(found: int, official: int | None, what: str, source: str | Path) -> tuple[str, ...]:
    """A warning where a file does not hold as many rows, labels or inputs as the official release.

    Args:
        found: Number in the file.
        official: Number in the official release; ``None`` where it is not known.
        what: What is counted, such as ``"rows of the train split"``.
        source: The file.
    """
    if official is None or found == official:
        return ()
    return (f"found {found:,} {what} in {source}, expected {official:,} as in the official release",)


def split_warnings(split: str, corpus: Corpus) -> list[str]:
    """Warnings of a split from which something cannot be learned or scored, one line each.

    Few training rows, and labels whose annotated cells are all of one kind: no positive, no negative, or none at all.
    """
    positives = corpus.labels.sum(0)
    annotated = corpus.mask.sum(0)
    kinds = {
        "no annotated row": annotated == 0,
        "no positive": (annotated > 0) & (positives == 0),
        "no negative": (annotated > 0) & (positives == annotated),
    }
    warnings = []
    if split == "train" and len(corpus) < FEW_ROWS:
        warnings.append(f"train: only {len(corpus)} rows to learn from")
    for kind, columns in kinds.items():
        names = [corpus.label_space.names[column] for column in columns.nonzero().flatten().tolist()]
        if names:
            warnings.append(f"{split}: {len(names)} of {len(columns)} labels have {kind}: {listing(names)}")
    return warnings


def check_positives(split: str, corpus: Corpus) -> None:
    """Refuse a split for training or validation in which no row has a label.

    Raises:
        ValueError: There is no positive.
    """
    if not corpus.labels.any():
        lost = "nothing can be learned" if split == "train" else "neither an epoch nor a threshold can be chosen"
        raise ValueError(
            f"the {split} split has no positive: none of its {len(corpus):,} rows has one of the labels "
            f"{listing(corpus.label_space.names)}; {lost} from it"
        )


def fold_warnings(rows: int, labels: int, folds: int) -> list[str]:
    """A warning where a validation split has fewer rows than folds × labels, one line or none."""
    if rows >= folds * labels:
        return []
    return [
        f"val: {rows} rows are few for thresholds of {labels} labels fitted on {folds} folds "
        f"(fewer than {folds} x {labels} = {folds * labels})"
    ]


def invisible(name: str) -> str | None:
    """Description of the first invisible character in a name; ``None`` where there is none."""
    return next((words for character, words in INVISIBLE.items() if character in name), None)


def listing(names: Sequence[str], shown: int = 5) -> str:
    """The first names of a list, and how many more there are.

    Example:
        >>> listing(["joy", "anger"]), listing(["joy", "anger", "fear", "love"], shown=2)
        ('joy, anger', 'joy, anger and 2 more')
    """
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
