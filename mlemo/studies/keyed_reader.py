"""Values of a YAML file, checked one by one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["KeyedReader"]


class KeyedReader:
    """Gives values as what they should be; every complaint names the file, the key, what was found and expected.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def wrong(self, key: str, message: str) -> ValueError:
        """The complaint about a key, to be raised."""
        return ValueError(f"{self.path}: {key}: {message}")

    def mapping(self, key: str, value: Any, keys: set[str] | None = None) -> dict[str, Any]:
        """A mapping with at least one key, all of them text, and of these where ``keys`` are given."""
        if not isinstance(value, dict) or not value:
            raise self.wrong(key, f"expected a mapping, found {value!r}")
        for name in value:
            if not isinstance(name, str):
                raise self.wrong(key, f"names are text, found {name!r}; put it in quotes")
            if keys is not None and name not in keys:
                raise self.wrong(key, f"unknown key {name!r}, expected some of {', '.join(sorted(keys))}")
        return value

    def text(self, key: str, value: Any) -> str:
        """Text that is not empty."""
        if not isinstance(value, str) or not value:
            raise self.wrong(key, f"expected text, found {value!r}")
        return value

    def words(self, key: str, value: Any) -> tuple[str, ...]:
        """Text split like a command line."""
        if not isinstance(value, str):
            raise self.wrong(key, f"expected words as on the command line, found {value!r}")
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise self.wrong(key, f"{error} in {value!r}") from None

    def items(self, key: str, value: Any) -> list[tuple[str, Any]]:
        """Key and value of each entry of a list; none where there is no list."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, f"expected a list, found {value!r}")
        return [(f"{key}[{index}]", item) for index, item in enumerate(value)]

    def known(self, key: str, label: Any, labels: Mapping[str, Any]) -> str:
        """One of the labels."""
        if not isinstance(label, str) or label not in labels:
            raise self.wrong(key, f"unknown label {label!r}, expected one of {', '.join(labels)}")
        return label

    def numbers(self, key: str, values: dict[str, Any]) -> dict[str, float]:
        """A mapping whose values are all numbers."""
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self.wrong(f"{key}.{name}", f"expected a number, found {value!r}")
        return values
