"""The base class of text cleanings, and their storage in checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from mlemo.utils.serialization import component_from_dict, component_to_dict

__all__ = ["TextCleaning", "check_choice", "cleaning_from_dict", "cleaning_to_dict"]


class TextCleaning(ABC):
    """A function from text to text, configured by a config file and stored in a checkpoint.

    A subclass is a frozen dataclass whose fields are the switches, as plain values (bool, int, str, ``None``): so two
    cleanings with the same switches are equal, and a cleaning can be hashed, pickled and stored. A cleaning does not
    raise for any text; a text may become ``""``, which a model must accept.
    """

    @abstractmethod
    def __call__(self, text: str) -> str:
        """Clean a text."""


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise an error unless a setting is one of the choices.

    Raises:
        ValueError: The setting is not one of the choices.

    Example:
        >>> check_choice("emoji", "drop", ("keep", "remove"))
        Traceback (most recent call last):
        ValueError: emoji must be one of keep, remove; found 'drop'
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; found {value!r}")


def cleaning_to_dict(cleaning: TextCleaning) -> dict[str, Any]:
    """Convert a cleaning to plain values for a checkpoint; :func:`cleaning_from_dict` restores it.

    Args:
        cleaning: A cleaning of mlemo or of the user.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}}``.

    Raises:
        ValueError: The class was defined inside a function, or a field is not a plain value.

    Example:
        >>> from mlemo.text import Tweets
        >>> cleaning_to_dict(Tweets())["class_path"]
        'mlemo.text.Tweets'
    """
    return component_to_dict(cleaning)


def cleaning_from_dict(stored: Mapping[str, Any]) -> TextCleaning:
    """Restore a cleaning from the values of :func:`cleaning_to_dict`.

    Args:
        stored: ``{"class_path", "init_args"}``.

    Raises:
        ValueError: A key is missing, the class does not exist, is not trusted or is not a :class:`TextCleaning`, or the
            arguments do not match the class.

    Example:
        >>> from mlemo.text import Tweets
        >>> cleaning_from_dict(cleaning_to_dict(Tweets(lowercase=False))) == Tweets(lowercase=False)
        True
    """
    return component_from_dict(stored, TextCleaning, "cleaning")  # type: ignore[type-abstract]
