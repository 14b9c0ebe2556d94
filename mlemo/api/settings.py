"""Settings given in Python, as classes, objects and plain values, in the form in which the command line takes them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from numbers import Number
from pathlib import Path
from typing import Any

from mlemo.models import MultiLabelModel
from mlemo.nn.features import TextFeatures
from mlemo.thresholds import ThresholdRule
from mlemo.utils.serialization import Recorded, class_path

__all__ = ["as_setting", "words_of"]

#: Classes that keep each constructor argument under its own name, by their contract.
KEEPING = (ThresholdRule, TextFeatures)


def words_of(settings: Mapping[str, Any]) -> list[str]:
    """Settings as words of the command line of ``mlemo fit``, in their order.

    A mapping, as a configuration file holds it, and a class merge with the settings before them as on the command line.
    An object replaces all settings before it, because it has a value for each of its settings.

    Args:
        settings: Values by key. A key is a name of the top level, or a path with dots; ``+`` behind it appends to a
            list.

    Raises:
        ValueError: A key is not text, or a value cannot be written as settings; the message names the key.

    Example:
        >>> words_of({"model.san": "none", "trainer": {"max_epochs": 4}, "model.loss": None})
        ['--model.san=none', '--trainer={"max_epochs": 4}', '--model.loss=null']
        >>> from mlemo.losses import FocalLoss
        >>> words_of({"model.loss": FocalLoss(gamma=3.0)})  # doctest: +NORMALIZE_WHITESPACE
        ['--model.loss=null',
         '--model.loss={"class_path": "mlemo.losses.FocalLoss", "init_args": {"gamma": 3.0}}']
    """
    words = []
    for key, value in settings.items():
        if not isinstance(key, str):
            raise ValueError(f"expected a key such as 'model.loss', found {key!r}")
        setting = as_setting(value, key)
        if _is_object(value) and not key.endswith("+"):
            words.append(f"--{key}=null")  # so that no setting of what stood there before is kept
        words.append(f"--{key}={setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)}")
    return words


def as_setting(value: Any, where: str) -> Any:
    """A value as a configuration file would hold it.

    Args:
        value: A plain value; a path, which is made absolute; a class or a function, which becomes its dotted path; an
            object of a class of mlemo or a ``functools.partial`` of any class, which become ``class_path`` and
            ``init_args``; or a list, a tuple or a mapping of these.
        where: The key, for the errors.

    Raises:
        ValueError: The value cannot be written so.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Number | Path):
        return str(value.absolute()) if isinstance(value, Path) else value.item()  # type: ignore[attr-defined]  # one of NumPy
    if isinstance(value, Mapping):
        return {str(key): as_setting(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_setting(item, where) for item in value]
    if isinstance(value, type) or inspect.isfunction(value):
        return _path(value, where)
    return _definition(value, where)


def _is_object(value: Any) -> bool:
    plain = value is None or isinstance(value, bool | Number | str | Path | Mapping | list | tuple | type)
    return not plain and not inspect.isfunction(value)


def _definition(value: Any, where: str) -> dict[str, Any]:
    """Class and arguments of an object."""
    if isinstance(value, partial):
        kind: Callable[..., Any] = value.func
        arguments = dict(_named(kind, value.args, value.keywords, where))
    else:
        kind = type(value)
        arguments = _arguments_of(value, where)
    if isinstance(kind, type) and issubclass(kind, MultiLabelModel):
        arguments.pop("label_space", None)  # the corpus brings it
    init_args = {name: as_setting(item, f"{where}.{name}") for name, item in arguments.items()}
    return {"class_path": _path(kind, where), "init_args": init_args}


def _arguments_of(value: Any, where: str) -> dict[str, Any]:
    """What an object was made with."""
    kind = type(value)
    if isinstance(value, Recorded):
        positional, named = value.constructor_call
        return dict(_named(kind, positional, named, where))
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, KEEPING):
        return {name: getattr(value, name) for name in inspect.signature(kind).parameters}
    name = kind.__qualname__
    raise ValueError(
        f"{where}: what the {name} was made with cannot be read from it; give functools.partial({name}, ...) with the "
        f"same arguments, or {{'class_path': '{kind.__module__}.{name}', 'init_args': {{...}}}}"
    )


def _named(
    kind: Callable[..., Any], positional: tuple[Any, ...], named: Mapping[str, Any], where: str
) -> Iterator[tuple[str, Any]]:
    """Arguments by the name of their parameter."""
    if positional:
        bound = inspect.signature(kind).bind_partial(*positional)
        for name, value in bound.arguments.items():
            if bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                raise ValueError(f"{where}: give the arguments of {kind.__qualname__} by name, found {value!r}")
            yield name, value
    yield from named.items()


def _path(kind: Callable[..., Any], where: str) -> str:
    """Dotted path of a class or a function.

    Raises:
        ValueError: It is not to be had by a path.
    """
    name = kind.__qualname__
    if "<" in name:  # <locals> of a function, <lambda>
        raise ValueError(f"{where}: {name} is defined inside a function; define it at the top level of a module")
    found: Any = sys.modules.get(kind.__module__)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not kind:
        raise ValueError(f"{where}: {kind.__module__}.{name} is not the object of that name now; create it again")
    return class_path(kind) if isinstance(kind, type) else f"{kind.__module__}.{name}"
