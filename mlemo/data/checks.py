"""Checks of what a reader found: ids, and splits that cannot be learned from or scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["check_ids", "invisible", "listing"]

#: Characters that names and ids must not hold: two that look the same would be different.
INVISIBLE = {"\ufeff": "U+FEFF, an invisible byte-order mark", "\0": "a NUL character"}


def check_ids(ids: Sequence[str], where: Callable[[int], str]) -> None:
    """Refuse identifiers of one file that do not identify its rows.

    Args:
        ids: One per row.
        where: File and line of a row, for messages.

    Raises:
        ValueError: An id is empty, occurs twice, or holds a character of ``INVISIBLE``.
    """
    first: dict[str, int] = {}
    for row, identifier in enumerate(ids):
        if not identifier.strip():
            raise ValueError(f"{where(row)}: the id is empty")
        if found := invisible(identifier):
            raise ValueError(f"{where(row)}: the id {identifier!r} holds {found}; remove it")
        if first.setdefault(identifier, row) != row:
            raise ValueError(
                f"{where(row)}: the id {identifier!r} occurs a second time, first in {where(first[identifier])}"
            )


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
