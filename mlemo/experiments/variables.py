"""Values of ``${name}`` in the words of a study or sweep, as ``--set NAME=VALUE`` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["variables_of"]


def variables_of(words: Sequence[str]) -> dict[str, str]:
    """Values by name; one that is a file or folder becomes absolute, as runs are not trained where they were asked for.

    Args:
        words: What stood behind each ``--set``.

    Raises:
        ValueError: A word is not ``NAME=VALUE``.

    >>> variables_of(["pooling=mean", "encoder=bert-base-uncased"])
    {'pooling': 'mean', 'encoder': 'bert-base-uncased'}
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--set {word}: expected NAME=VALUE")
        found[name] = str(Path(value).resolve()) if value and Path(value).exists() else value
    return found
