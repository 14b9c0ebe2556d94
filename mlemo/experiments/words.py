"""Settings of a YAML file as words of the command line: ``{model.loss.order: 2}`` is ``--model.loss.order=2``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from string import Template
from typing import Any

from mlemo.utils.yaml_files import line_of

__all__ = ["Setting", "as_text", "words_of"]


@dataclass(frozen=True)
class Setting:
    """A setting in a file of a study or a sweep.

    Args:
        word: Its word on the command line of ``mlemo fit``; ``${name}`` stands for a variable.
        path: The file.
        key: Its place there.
    """

    word: str
    path: Path
    key: str

    @property
    def place(self) -> str:
        """File, line and key, as an error message begins with them."""
        return f"{self.path}:{line_of(self.path, self.key)}: {self.key}"

    def fill(self, values: Mapping[str, str]) -> Setting:
        """The setting with values in place of its variables.

        Raises:
            ValueError: A variable has no value, or a dollar sign begins none.
        """
        try:
            return replace(self, word=Template(self.word).substitute(values))
        except KeyError as error:
            name = error.args[0]
            raise ValueError(f"{self.place}: needs a value of {name}; give --set {name}=VALUE") from None
        except ValueError as error:
            raise ValueError(f"{self.place}: {self.word!r}: {error}; $$ stands for a dollar sign") from None


def words_of(settings: Mapping[str, Any], name: str = "", key: str = "") -> Iterator[tuple[str, str]]:
    """Words of the command line with the settings of a mapping, in its order, and the key in the mapping of each.

    Args:
        settings: Dotted or nested keys as in a config file or on the command line, and values as in a config file.
        name: Option that the mapping is the value of.
        key: Place of the mapping.

    Example:
        >>> callbacks = [{"class_path": "LabelShuffle", "init_args": {"k": 3}}, "GTHLFigures"]
        >>> settings = {"trainer": {"max_epochs": 2, "callbacks+": callbacks}, "model.heights": [1, 2]}
        >>> [word for word, _ in words_of(settings)]  # doctest: +NORMALIZE_WHITESPACE
        ['--trainer.max_epochs=2', '--trainer.callbacks+=LabelShuffle', '--trainer.callbacks.k=3',
         '--trainer.callbacks+=GTHLFigures', '--model.heights=[1,2]']
    """
    for part, value in settings.items():
        here = f"{key}.{part}" if key else part
        if part == "init_args" and isinstance(value, Mapping):
            yield from words_of(value, name.removesuffix("+"), here)
        elif part == "class_path":
            yield f"--{name}={as_text(value)}", here
        else:
            option = f"{name.removesuffix('+')}.{part}" if name else part
            yield from _words(option, value, here)


def _words(option: str, value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        yield from words_of(value, option, key)
    elif isinstance(value, list) and option.endswith("+"):
        for place, item in enumerate(value):
            yield from _words(option, item, f"{key}[{place}]")
    else:
        yield f"--{option}={as_text(value)}", key


def as_text(value: Any) -> str:
    """A value of a YAML file as it is written on the command line.

    Example:
        >>> as_text("bce"), as_text(0.5), as_text(None), as_text([1, 2])
        ('bce', '0.5', 'null', '[1,2]')
    """
    if isinstance(value, str | date):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
