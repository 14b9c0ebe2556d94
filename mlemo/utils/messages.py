"""Escaping of texts for terminals, which would interpret escape sequences inside a text."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["CONTROL", "SURROGATE", "cell", "enumerated", "shortened", "shown", "visible"]

#: Lone surrogates, which have no encoding.
SURROGATE = re.compile("[\ud800-\udfff]")
#: Lone surrogates and control characters, except tab and line break.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
LONGEST = 1000  # largest number of characters of a text in a table
MOST_NAMES = 40  # largest number of names in a line

BRIEF = reprlib.Repr()
BRIEF.maxlist = 40
BRIEF.maxstring = BRIEF.maxother = BRIEF.maxlong = 80


def visible(text: str) -> str:
    r"""Escape control characters and lone surrogates of a text in Python's notation.

    Example:
        >>> print(visible("\x1b[31mred\r, \ud83d"))
        \x1b[31mred\x0d, \ud83d
    """
    return CONTROL.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "\u0100" else f"\\u{ord(found[0]):04x}", text
    )


def cell(text: str) -> Text:
    """Create a cell of a table on the terminal: the beginning of the text, without markup.

    Example:
        >>> print(cell("[red]" + "a" * 10_000)[-27:])
        aaaaaa… (10,005 characters)
    """
    from rich.text import Text  # noqa: PLC0415  # `mlemo --help` needs this module, and no table

    return Text(visible(shortened(text)))


def shortened(text: str) -> str:
    """Return the beginning of a long text with its length, and any other text whole.

    Example:
        >>> shortened("a" * 10_000)[-22:]
        'a… (10,000 characters)'
    """
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def enumerated(names: Sequence[str]) -> str:
    """List names of labels in a line: the first ones, and the number of all.

    Example:
        >>> enumerated(["joy", "fear"]), enumerated(["a"] * 10_000)[-25:]
        ('joy, fear', 'a, a, a … (10,000 in all)')
    """
    listed = ", ".join(names[:MOST_NAMES])
    return listed if len(names) <= MOST_NAMES else f"{listed} … ({len(names):,} in all)"


def shown(value: object) -> str:
    """Format a found value for messages: its Python notation, of long ones the beginning and the end.

    Example:
        >>> shown("yes"), len(shown("ha" * 1000))
        ("'yes'", 80)
    """
    return BRIEF.repr(value)
