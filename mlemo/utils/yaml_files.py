"""Files of settings: YAML of which nothing is lost, and errors that name the file and the line."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["line_of", "read_settings"]

MERGE = "tag:yaml.org,2002:merge"


def read_settings(path: str | Path) -> Any:
    """The content of a YAML file.

    Args:
        path: The file, in UTF-8.

    Returns:
        What the file holds: a mapping in most cases, ``None`` if it is empty.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is not valid YAML in UTF-8, or a key occurs twice in one mapping, of which YAML would drop the
            first; the message begins with ``path:line:column``, as far as these are known.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)  # a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        raise ValueError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error


def line_of(path: str | Path, key: str) -> int | None:
    """The line of a YAML file with a key, or the last part of it that is there; ``None`` without a file.

    Args:
        path: The file.
        key: Keys and places in lists, as in ``published[0].rows``; keys may have dots in them.
    """
    try:
        node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, yaml.YAMLError):
        return None
    line, rest = 1, key
    while (found := max(_parts(node, rest), key=lambda part: len(part[0]), default=None)) is not None:
        name, line, node = found
        rest = rest.removeprefix(name).removeprefix(".")
    return line


def _parts(node: yaml.Node | None, key: str) -> Iterator[tuple[str, int, yaml.Node]]:
    """Name, line and value of everything below a node with which a key begins."""
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            if key.startswith(f"[{place}]"):
                yield f"[{place}]", item.start_mark.line + 1, item
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.tag == MERGE:
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from _parts(merged, key)
            elif key == name.value or key.startswith((f"{name.value}.", f"{name.value}[")):
                yield name.value, name.start_mark.line + 1, value


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times as fast where it is built
    """The safe loader, which refuses a key that occurs twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Hashable, yaml.Node] = {}
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            name = self.construct_object(key, deep=True)
            if isinstance(name, Hashable) and first.setdefault(name, key) is not key:
                line = first[name].start_mark.line + 1
                raise yaml.MarkedYAMLError(
                    problem=f"the key {name!r} is given twice, first in line {line}", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep)
