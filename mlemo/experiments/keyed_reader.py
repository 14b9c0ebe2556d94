"""Values of a YAML file, checked one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlemo.experiments.words import Setting, words_of
from mlemo.utils.errors import nearest
from mlemo.utils.yaml_files import line_of, read_settings

__all__ = ["KeyedReader"]


class KeyedReader:
    """Gives values as what they should be; every complaint names file, line and key, what was found and expected.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def wrong(self, key: str, message: str) -> ValueError:
        """The complaint about a key, to be raised; the key of the whole file is empty."""
        return ValueError(f"{self.path}:{line_of(self.path, key)}: {f'{key}: ' if key else ''}{message}")

    def mapping(self, key: str, value: Any, keys: set[str] | None = None) -> dict[str, Any]:
        """A mapping with at least one key, all of them text, and of these where ``keys`` are given."""
        if not isinstance(value, dict) or not value:
            raise self.wrong(key, f"expected a mapping, found {value!r}")
        for name in value:
            if not isinstance(name, str):
                raise self.wrong(key, f"names are text, found {name!r}; put it in quotes")
            if keys is not None and name not in keys:
                known = nearest(name, keys) or f"; there are {', '.join(sorted(keys))}"
                raise self.wrong(f"{key}.{name}" if key else name, f"unknown key{known}")
        return value

    def text(self, key: str, value: Any) -> str:
        """Text that is not empty."""
        if not isinstance(value, str) or not value:
            raise self.wrong(key, f"expected text, found {value!r}")
        return value

    def settings(self, key: str, value: Any) -> tuple[Setting, ...]:
        """Settings as in a config file, with dotted or nested keys; none of them in an empty mapping."""
        if isinstance(value, str):
            raise self.wrong(key, f"expected settings such as {{model.loss.order: 2}}, found the words {value!r}; "
                             "write KEY: VALUE for --KEY=VALUE")  # fmt: skip
        content = self.mapping(key, value) if value != {} else {}
        return tuple(Setting(word, self.path, own) for word, own in words_of(content, key=key))

    def base(self, key: str, value: Any) -> tuple[Setting, ...]:
        """The settings of a config file, or of several, each over those before it."""
        found: list[Setting] = []
        for place, name in self.items(key, value) if isinstance(value, list) else [(key, value)]:
            path = self.path.parent / self.text(place, name)
            if not path.is_file():
                raise self.wrong(place, f"there is no file {path}")
            for setting in KeyedReader(path).settings("", read_settings(path)):
                found.append(replace(setting, word=re.sub(r"\$(?!{)", "$$", setting.word)))
        return tuple(found)

    def part(self, key: str, value: Any) -> tuple[Setting, ...]:
        """The settings of ``base`` and, over them, those of ``set``, as far as a mapping has these keys."""
        base = self.base(f"{key}.base", value["base"]) if "base" in value else ()
        return (*base, *(self.settings(f"{key}.set", value["set"]) if "set" in value else ()))

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
