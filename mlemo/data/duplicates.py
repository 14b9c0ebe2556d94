"""Equal and nearly equal texts of a corpus, and equal texts whose labels differ.

Each row has the number of its group. Three rules say which rows are in one group, each wider than the one before:

- `equal_groups`: the same characters;
- `normalized_groups`: the same after `normalized`, which ignores case, punctuation and spacing;
- `near_groups`: the normalized texts share most of their character 5-grams.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import regex
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

__all__ = ["conflicting", "equal_groups", "near_groups", "normalized", "normalized_groups", "repeated_rows"]

NGRAM = 5  # characters
BANDS, ROWS = 16, 4  # a pair with similarity s shares a band with probability 1 - (1 - s^4)^16: 0.9998 at s = 0.8
PART = 10_000  # texts whose n-grams are in memory at a time
NOT_WORDS = regex.compile(r"[^\p{L}\p{M}\p{N}\p{S}]+")  # emoji are symbols, \p{S}


def normalized(text: str) -> str:
    """Text in one case, with runs of punctuation and white space as one space; itself where nothing else is in it.

    Example:
        >>> normalized("  So HAPPY!!! 😀 "), normalized("...")
        ('so happy 😀', '...')
    """
    return NOT_WORDS.sub(" ", text.casefold()).strip() or text


def equal_groups(texts: Sequence[str]) -> Tensor:
    """Number of each row's group of equal texts, ``(N,)`` int64, in the order in which the groups first occur.

    Example:
        >>> equal_groups(["fine", "sad", "fine"])
        tensor([0, 1, 0])
    """
    return _numbered(texts)


def normalized_groups(texts: Sequence[str]) -> Tensor:
    """As `equal_groups`, of texts that are equal after `normalized`."""
    return _numbered(map(normalized, texts))


def near_groups(texts: Sequence[str], similarity: float = 0.8) -> Tensor:
    r"""As `equal_groups`, of texts that are connected by pairs of similar ones.

    Two texts are similar if their sets of character 5-grams, after `normalized`, have a Jaccard index
    :math:`|A \cap B| / |A \cup B|` of at least ``similarity``. Pairs are proposed by MinHash signatures of 64 values
    in 16 bands (Broder, 1997), each row with the first row of its bucket, and then compared exactly: no pair is wrong,
    and a pair is rarely missed.

    Args:
        texts: ``N`` texts.
        similarity: Smallest Jaccard index, in (0, 1]. Below 0.7 many pairs are missed.

    Example:
        >>> near_groups(["the parcel never came to my house", "The parcel never came to my house!!", "thank you"])
        tensor([0, 0, 1])
    """
    groups = normalized_groups(texts).numpy()
    if not len(groups):
        return torch.zeros(0, dtype=torch.long)
    _, first = np.unique(groups, return_index=True)
    distinct = [normalized(texts[row]) for row in first.tolist()]
    pairs = np.array([pair for pair in _proposed(_signatures(distinct)) if _jaccard(distinct, *pair) >= similarity])
    pairs = pairs.reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(distinct),) * 2)
    return _numbered(connected_components(links, directed=False)[1][groups].tolist())


def repeated_rows(groups: Tensor) -> int:
    """Rows that repeat an earlier one: those of all groups beyond the first of each.

    Example:
        >>> repeated_rows(torch.tensor([0, 1, 0, 0]))
        2
    """
    return len(groups) - len(groups.unique())


def conflicting(groups: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Labels that are 1 in one row and 0 in another row of the same group.

    Args:
        groups: Group of each row, ``(N,)``, counted from 0.
        labels: ``(N, C)`` of zeros and ones.
        mask: ``(N, C)`` bool, false where a label was not annotated; such a cell conflicts with none.

    Returns:
        ``(G, C)`` bool; ``.any(1).sum()`` counts the groups, ``.sum(0)`` those per label.
    """
    known = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
    count = int(groups.max()) + 1 if len(groups) else 0
    present, absent = (
        torch.zeros(count, labels.shape[1], dtype=torch.long).index_add_(0, groups, (known & (labels == value)).long())
        for value in (1, 0)
    )
    return (present > 0) & (absent > 0)


def _numbered(keys: Iterable[Hashable]) -> Tensor:
    numbers: dict[Hashable, int] = {}
    return torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys], dtype=torch.long)


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """The least value of each of 64 hash functions over the n-grams of each text, ``(N, 64)`` uint64."""
    draw = np.random.default_rng(0)
    factors, shifts = draw.integers(1, 2**63, (2, BANDS * ROWS), dtype=np.uint64)
    weights = draw.integers(1, 2**63, NGRAM, dtype=np.uint64) | np.uint64(1)
    parts = []
    for begin in range(0, len(texts), PART):
        padded = [text.ljust(NGRAM) for text in texts[begin : begin + PART]]
        starts = np.cumsum([0, *(len(text) for text in padded)])
        characters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
        grams = np.lib.stride_tricks.sliding_window_view(characters, NGRAM).astype(np.uint64) @ weights
        grams = np.append(grams, np.full(NGRAM - 1, np.iinfo(np.uint64).max))  # places in which no n-gram begins
        crossing = (starts[1:, None] - np.arange(1, NGRAM)).ravel()  # n-grams that reach into the next text
        grams ^= grams >> np.uint64(32)
        signature = np.empty((len(padded), BANDS * ROWS), np.uint64)
        for place, (factor, shift) in enumerate(zip(factors, shifts)):
            values = (grams * factor + shift) >> np.uint64(1)
            values[crossing] = np.iinfo(np.uint64).max
            signature[:, place] = np.minimum.reduceat(values, starts[:-1])
        parts.append(signature)
    return np.concatenate(parts)


def _proposed(signatures: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of each text with the first one that has the same values in a band."""
    pairs: set[tuple[int, int]] = set()
    for band in np.split(signatures, BANDS, axis=1):
        _, first, bucket = np.unique(band, axis=0, return_index=True, return_inverse=True)
        others = first[bucket.ravel()]
        rows = np.flatnonzero(others != np.arange(len(band)))
        pairs.update(zip(others[rows].tolist(), rows.tolist()))
    return pairs


def _jaccard(texts: Sequence[str], one: int, other: int) -> float:
    first, second = (
        {text[place : place + NGRAM] for place in range(max(1, len(text) - NGRAM + 1))}
        for text in (texts[one].ljust(NGRAM), texts[other].ljust(NGRAM))
    )
    return len(first & second) / len(first | second)
