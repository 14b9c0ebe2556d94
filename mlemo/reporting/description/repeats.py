"""Equal and similar texts within and across splits, and equal texts with different labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from mlemo.data import Corpus
from mlemo.data.duplicates import conflicting, equal_groups, near_groups, repeated_rows

__all__ = ["MOST_SHOWN", "Conflict", "Repeats", "repeats"]

MOST_SHOWN = 10  #: rows of one text in an example


@dataclass(frozen=True)
class Conflict:
    """Rows of one text that have different labels.

    Args:
        text: The text.
        occurrences: Number of its rows.
        rows: Split, id and labels of the first `MOST_SHOWN` of the rows.
        labels: Labels that one of the rows has and another lacks.
    """

    text: str
    occurrences: int
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Repeats:
    """Repeated texts of a corpus.

    Args:
        within: Per split, rows whose text is that of an earlier row.
        across: Per pair of splits, as ``"train, test"``, rows of the second whose text is in the first.
        near: As ``across``, for similar texts (equal ones among them); ``None`` if they were not looked for.
        conflicting_texts: Texts that occur more than once, in any splits, with different labels.
        conflicting_labels: Number of these texts per label.
        examples: The first of these texts.
    """

    within: dict[str, int]
    across: dict[str, int]
    near: dict[str, int] | None
    conflicting_texts: int
    conflicting_labels: dict[str, int]
    examples: tuple[Conflict, ...]


def repeats(splits: Mapping[str, Corpus], similarity: float | None, examples: int) -> Repeats:
    """Find repeated texts.

    Args:
        splits: Text corpora by name.
        similarity: Smallest Jaccard index of the character 5-grams of similar texts; ``None`` to look for equal texts
            alone.
        examples: Largest number of examples of conflicts.
    """
    texts = [text for corpus in splits.values() for text in corpus.texts or []]
    sizes = [len(corpus) for corpus in splits.values()]
    groups = equal_groups(texts)
    own = dict(zip(splits, groups.split(sizes)))
    near = None if similarity is None else dict(zip(splits, near_groups(texts, similarity).split(sizes)))
    repeated = groups.bincount()[groups] > 1
    # labels of the repeated rows alone, since those of all rows may fill the memory
    rows_of = [part.nonzero().flatten() for part in repeated.split(sizes)]
    subset = Corpus.concatenate([corpus.select(rows) for corpus, rows in zip(splits.values(), rows_of)])
    split_of = [split for split, rows in zip(splits, rows_of) for _ in range(len(rows))]
    _, places = groups[repeated].unique(return_inverse=True)
    conflicts = conflicting(places, subset.labels, subset.mask)
    found = []
    for group in conflicts.any(1).nonzero().flatten()[:examples].tolist():
        rows = (places == group).nonzero().flatten().tolist()
        found.append(
            Conflict(
                (subset.texts or [])[rows[0]],
                len(rows),
                tuple((split_of[row], subset.ids[row], _labels(subset, row)) for row in rows[:MOST_SHOWN]),
                tuple(subset.label_space.decode(conflicts[group].tolist())),
            )
        )
    counts = conflicts.sum(0).tolist()
    return Repeats(
        within={name: repeated_rows(part) for name, part in own.items()},
        across=_shared(own),
        near=None if near is None else _shared(near),
        conflicting_texts=int(conflicts.any(1).sum()),
        conflicting_labels={name: count for name, count in zip(subset.label_space.names, counts) if count},
        examples=tuple(found),
    )


def _shared(groups: Mapping[str, Tensor]) -> dict[str, int]:
    """Count the rows of the second split of each pair that are in a group of the first one."""
    return {
        f"{first}, {second}": int(torch.isin(groups[second], groups[first]).sum())
        for first, second in combinations(groups, 2)
    }


def _labels(corpus: Corpus, row: int) -> tuple[str, ...]:
    """Return the labels of a row; those that are not annotated have a question mark."""
    cells = zip(corpus.label_space.names, corpus.labels[row].tolist(), corpus.mask[row].tolist())
    return tuple(name if known else f"{name}?" for name, on, known in cells if on or not known)
