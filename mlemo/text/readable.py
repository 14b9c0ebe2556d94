"""Truncation of texts and replacement of characters that tokenizers do not accept."""

from __future__ import annotations

from mlemo.utils.messages import SURROGATE

__all__ = ["LONGEST", "readable"]

#: Largest number of characters per text, far more than the longest input of an encoder.
LONGEST = 100_000


def readable(text: str) -> str:
    r"""Truncate a text to 100,000 characters and replace lone surrogates, which tokenizers do not accept, by U+FFFD.

    Args:
        text: Any text, such as a command-line argument that is not UTF-8.

    Example:
        >>> readable("joy \ud83d") == "joy \ufffd", len(readable("a" * 10_000_000))
        (True, 100000)
    """
    text = text[:LONGEST]
    return text if text.isascii() else SURROGATE.sub("\ufffd", text)
