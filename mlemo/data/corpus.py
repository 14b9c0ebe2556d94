"""A corpus: texts (or features) with their label sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mlemo.batch import Batch
from mlemo.data.strings import Strings
from mlemo.labels import LabelSpace

__all__ = ["Corpus"]


@dataclass
class Corpus:
    """One split of a corpus, as read from its official files.

    Args:
        label_space: The labels, in the order of the columns of ``labels``.
        labels: ``(N, C)`` float32, 0 or 1; 0 where the mask is ``False``.
        ids: ``N`` identifiers, as in the official files where these have them, else running numbers.
        texts: ``N`` strings (a list, or `Strings`), or ``None`` for a tabular corpus.
        features: ``(N, F)`` float32, or ``None`` for a text corpus.
        mask: ``(N, C)`` bool, ``False`` where a label was not annotated; all ``True`` if left out.
        dropped: What a reader left out on purpose, as ``{reason: rows}`` (reported at setup).
        warnings: What a reader found to differ from the official release, one line each.
        extras: Further values per row by name, such as ``intensities`` ``(N, C)``; each is in every batch under its
            name, and an argument of the loss. Not known is NaN, or -1 in tensors of integers.

    Raises:
        ValueError: The parts differ in length, neither texts nor features (or both) are given, an annotated label is
            outside [0, 1], or an extra has the name of an entry that every batch has.
    """

    label_space: LabelSpace
    labels: Tensor
    ids: Sequence[str]
    texts: Sequence[str] | None = None
    features: Tensor | None = None
    mask: Tensor = None  # type: ignore[assignment]  # always a tensor after __post_init__
    dropped: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    extras: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.texts is None) == (self.features is None):
            raise ValueError("a corpus has either texts or features, found both or neither")
        rows = len(self.ids)
        if self.mask is None:
            self.mask = torch.ones(rows, len(self.label_space), dtype=torch.bool)
        expected = (rows, len(self.label_space))
        for name, tensor in (("labels", self.labels), ("mask", self.mask)):
            if tuple(tensor.shape) != expected:
                raise ValueError(f"{name} have shape {tuple(tensor.shape)}, expected {expected} (rows, labels)")
        wrong = self.mask & ~((self.labels >= 0) & (self.labels <= 1))  # written so that NaN is wrong too
        if wrong.any():
            row, label = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"labels must lie in [0, 1], found {self.labels[row, label].item()} for "
                f"{self.label_space.names[label]!r} in row {row} (id {self.ids[row]!r})"
            )
        content = self.texts if self.texts is not None else self.features
        if len(content) != rows:  # type: ignore[arg-type]
            raise ValueError(f"{len(content)} texts or feature rows for {rows} ids")  # type: ignore[arg-type]
        for name, values in self.extras.items():
            if len(values) != rows:
                raise ValueError(f"extra {name!r} has {len(values)} rows for {rows} ids")
            if name in Batch.__annotations__:
                raise ValueError(f"no extra can have the name {name!r}, which is that of another entry of batches")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Sequence[int] | Tensor) -> Corpus:
        """The given rows, in the given order, as a new corpus; what a reader dropped or warned of stays on record."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return Corpus(
            label_space=self.label_space,
            labels=self.labels[index],
            ids=_pick(self.ids, index),
            texts=None if self.texts is None else _pick(self.texts, index),
            features=None if self.features is None else self.features[index],
            mask=self.mask[index],
            dropped=dict(self.dropped),
            warnings=self.warnings,
            extras={name: values[index] for name, values in self.extras.items()},
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Corpus]) -> Corpus:
        """Several corpora over the same labels, one after another; an extra that a part lacks is not known there.

        Raises:
            ValueError: No part is given, or the parts differ in their labels.
        """
        if not parts:
            raise ValueError("nothing to concatenate")
        space = parts[0].label_space
        for part in parts:
            if part.label_space.names != space.names:
                raise ValueError(f"cannot join corpora over {space.names} and {part.label_space.names}")
        text = parts[0].texts is not None
        return cls(
            label_space=space,
            labels=torch.cat([part.labels for part in parts]),
            ids=_join([part.ids for part in parts]),
            texts=_join([part.texts or [] for part in parts]) if text else None,
            features=None if text else torch.cat([part.features for part in parts if part.features is not None]),
            mask=torch.cat([part.mask for part in parts]),
            dropped={reason: sum(p.dropped.get(reason, 0) for p in parts) for p in parts for reason in p.dropped},
            warnings=tuple(dict.fromkeys(line for part in parts for line in part.warnings)),
            extras=_join_extras(parts),
        )


def _pick(texts: Sequence[str], rows: Tensor) -> Sequence[str]:
    return texts.take(rows) if isinstance(texts, Strings) else [texts[row] for row in rows.tolist()]


def _join_extras(parts: Sequence[Corpus]) -> dict[str, Tensor]:
    examples = {name: values for part in parts for name, values in part.extras.items()}
    return {
        name: torch.cat([part.extras[name] if name in part.extras else _unknown(len(part), like) for part in parts])
        for name, like in examples.items()
    }


def _unknown(rows: int, like: Tensor) -> Tensor:
    return like.new_full((rows, *like.shape[1:]), torch.nan if like.is_floating_point() else -1)


def _join(parts: list[Sequence[str]]) -> Sequence[str]:
    arrays = [part for part in parts if isinstance(part, Strings)]
    return Strings.concatenate(arrays) if len(arrays) == len(parts) else [item for part in parts for item in part]
