"""What every text cleaning has in common: the contract, and how a checkpoint stores one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from mlemo.paths import component_from_dict, component_to_dict

__all__ = ["TextCleaning", "check_choice", "cleaning_from_dict", "cleaning_to_dict"]


class TextCleaning(ABC):
    """A function from text to text, set by a config and kept by a checkpoint.

    A subclass is a frozen dataclass whose fields are the switches, as plain values (bool, int, str, ``None``): so two
    cleanings with the same switches are equal, and one can be hashed, pickled and stored. A cleaning raises for no
    text; one in which nothing is left becomes ``""``, which a model must be able to read.
    """

    @abstractmethod
    def __call__(self, text: str) -> str:
        """The cleaned text."""


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a setting that is none of the choices.

    Raises:
        ValueError: It is not.

    Example:
        >>> check_choice("emoji", "drop", ("keep", "remove"))
        Traceback (most recent call last):
        ValueError: emoji must be one of keep, remove; found 'drop'
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; found {value!r}")


def cleaning_to_dict(cleaning: TextCleaning) -> dict[str, Any]:
    """A cleaning as plain values, for a checkpoint; :func:`cleaning_from_dict` builds it again.

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
    """The cleaning that :func:`cleaning_to_dict` stored.

    Args:
        stored: ``{"class_path", "init_args"}``.

    Raises:
        ValueError: A key is missing, its class is not there or not trusted, it is not a :class:`TextCleaning`, or the
            arguments do not fit the class.

    Example:
        >>> from mlemo.text import Tweets
        >>> cleaning_from_dict(cleaning_to_dict(Tweets(lowercase=False))) == Tweets(lowercase=False)
        True
    """
    return component_from_dict(stored, TextCleaning, "cleaning")  # type: ignore[type-abstract]
