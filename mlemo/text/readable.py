"""The part of a text that a model reads, as any tokenizer takes it."""

from __future__ import annotations

from mlemo.visible import SURROGATE

__all__ = ["LONGEST", "readable"]

#: Characters of a text that models read, far more than the longest input of an encoder has.
LONGEST = 100_000


def readable(text: str) -> str:
    r"""The first 100,000 characters of a text, with U+FFFD for halves of surrogate pairs, which tokenizers refuse.

    Args:
        text: Any text, such as a word of the command line that is not UTF-8.

    Example:
        >>> readable("joy \ud83d") == "joy \ufffd", len(readable("a" * 10_000_000))
        (True, 100000)
    """
    text = text[:LONGEST]
    return text if text.isascii() else SURROGATE.sub("\ufffd", text)
