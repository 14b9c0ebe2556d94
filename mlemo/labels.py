"""The label space: the labels of a corpus, their order and their groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlemo.utils.messages import SURROGATE, shown

__all__ = ["LabelSpace"]


@dataclass(frozen=True)
class LabelSpace:
    """Names of the labels in the corpus's official order; column ``c`` of every label tensor is ``names[c]``.

    Args:
        names: Label names, unique and not empty, in official order.
        groups: Sibling sets of a label hierarchy as tuples of names; a label belongs to at most one group.
            ``None`` for flat labels.
            words: One word per label in the language of the corpus, for prompts; ``None``
            without words.

    Raises:
        ValueError: The names are a string or empty, a name is repeated, empty or has a NUL or a lone surrogate, a group
            has an unknown label, a label is in two groups, or the numbers of words and names differ.

    Example:
        >>> space = LabelSpace(("joy", "anger", "fear"), groups=(("anger", "fear"),))
        >>> len(space), space.index("fear"), space.group_indices()
        (3, 2, ((1, 2),))
    """

    names: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...] | None = None
    words: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise ValueError(f"label names must be a list of names, found the string {self.names!r}")
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names:
            raise ValueError("a label space needs at least one label, found none")
        for name in self.names:
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"label names must be non-empty strings, found {name!r} in {self.names}")
            if "\0" in name or (not name.isascii() and SURROGATE.search(name)):
                raise ValueError(f"label names must be text, found a NUL or a lone surrogate in {name!r}")
        repeated = sorted(name for name, count in Counter(self.names).items() if count > 1)
        if repeated:
            raise ValueError(f"label names must be unique, found {repeated} more than once")
        if self.words is not None:
            object.__setattr__(self, "words", tuple(self.words))
            if len(self.words) != len(self.names):
                raise ValueError(
                    f"expected one word per label, found {len(self.words)} words for {len(self.names)} labels"
                )
        if self.groups is not None:
            object.__setattr__(self, "groups", tuple(tuple(group) for group in self.groups))
            grouped = [name for group in self.groups for name in group]
            unknown = sorted(set(grouped) - set(self.names))
            if unknown:
                known = shown(list(self.names))
                raise ValueError(f"label groups name unknown labels {unknown}; the labels are {known}")
            twice = sorted(name for name, count in Counter(grouped).items() if count > 1)
            if twice:
                raise ValueError(f"a label belongs to at most one group, found {twice} in several")

    @classmethod
    def of(cls, value: LabelSpace | Mapping[str, Any] | Sequence[str]) -> LabelSpace:
        """Create a label space from itself, from its plain form (``as_dict``), or from a list of names."""
        if isinstance(value, LabelSpace):
            return value
        return cls(**value) if isinstance(value, Mapping) else cls(value)  # type: ignore[arg-type]  # made a tuple there

    def as_dict(self) -> dict[str, Any]:
        """Return the plain form used in configs and checkpoints."""
        groups = None if self.groups is None else [list(group) for group in self.groups]
        words = {} if self.words is None else {"words": list(self.words)}
        return {"names": list(self.names), "groups": groups, **words}

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Return the column of the label ``name``.

        Raises:
            ValueError: ``name`` is not a label; the message lists the labels.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ValueError(f"unknown label {name!r}; the labels are {shown(list(self.names))}") from None

    def group_indices(self) -> tuple[tuple[int, ...], ...] | None:
        """Return the groups as tuples of columns, or ``None`` for flat labels."""
        if self.groups is None:
            return None
        return tuple(tuple(self.index(name) for name in group) for group in self.groups)

    def multi_hot(self, names: Iterable[str]) -> list[float]:
        """Encode label names as a row of zeros and ones.

        Raises:
            ValueError: A name is not a label.
        """
        row = [0.0] * len(self.names)
        for name in names:
            row[self.index(name)] = 1.0
        return row

    def decode(self, decisions: Sequence[bool]) -> list[str]:
        """Decode one row of decisions to label names."""
        return [name for name, on in zip(self.names, decisions, strict=True) if on]
