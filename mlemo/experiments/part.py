"""A part of a study as words: ``--only SETTING=LABEL``, which may be given several times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

__all__ = ["part_as_text", "part_of_words"]


def part_of_words(words: Sequence[str]) -> dict[str, list[str]]:
    """What ``Study.only`` takes, from words; several labels of one setting add up.

    Raises:
        ValueError: A word has no ``=``.

    Example:
        >>> part_of_words(["loss=BCE", "seed=42", "seed=43"])
        {'loss': ['BCE'], 'seed': ['42', '43']}
    """
    found: dict[str, list[str]] = {}
    for word in words:
        setting, equals, label = word.partition("=")
        if not equals:
            raise ValueError(f"--only {word}: expected SETTING=LABEL")
        found.setdefault(setting, []).append(label)
    return found


def part_as_text(only: Mapping[str, Collection[str]]) -> str:
    """A part, to be read by people.

    Example:
        >>> part_as_text({"loss": ["BCE"], "seed": ["42", "43"]})
        'loss BCE, seed 42 or 43'
    """
    return ", ".join(f"{setting} {' or '.join(labels)}" for setting, labels in only.items())
