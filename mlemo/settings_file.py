"""Files of settings: YAML of which nothing is lost, and errors that name the file and the line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

__all__ = ["read_settings"]


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


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times as fast where it is built
    """The safe loader, which refuses a key that occurs twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Hashable, yaml.Node] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=True)
            if isinstance(name, Hashable) and first.setdefault(name, key) is not key:
                line = first[name].start_mark.line + 1
                raise yaml.MarkedYAMLError(
                    problem=f"the key {name!r} is given twice, first in line {line}", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep)
