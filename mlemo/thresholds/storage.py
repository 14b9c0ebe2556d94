"""How a rule is stored: as plain values that a checkpoint can hold and that are read without running code."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from mlemo.thresholds.base import ThresholdRule

__all__ = ["rule_from_dict", "rule_to_dict"]

DEFINITION = {"class_path", "init_args"}


def rule_to_dict(rule: ThresholdRule) -> dict[str, Any]:
    """A rule as plain values, so that a checkpoint can hold it and ``torch.load(weights_only=True)`` can read it.

    Args:
        rule: A rule of mlemo or of the user, fitted or not; its arguments may be rules in turn.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}, "state": {...}}``. The path is the one that the rule's
        package exports, where it does, so that files may move without breaking checkpoints. A rule among the
        arguments is ``{"class_path", "init_args"}``, as in YAML; its state is part of the outer rule's.

    Raises:
        ValueError: The class cannot be imported by a path (it was defined inside a function), or an ``__init__``
            argument is not kept as a plain value or a rule under its own name.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> rule_to_dict(FixedThreshold(0.3))["class_path"], rule_to_dict(FixedThreshold(0.3))["init_args"]
        ('mlemo.thresholds.FixedThreshold', {'threshold': 0.3})
    """
    return {**_definition(rule), "state": _plain(rule.state_dict(), f"the state of {type(rule).__name__}")}


def rule_from_dict(stored: Mapping[str, Any]) -> ThresholdRule:
    """The rule that :func:`rule_to_dict` stored; the class is imported by its dotted path.

    Args:
        stored: ``{"class_path", "init_args", "state"}``.

    Returns:
        The rule, fitted if it was.

    Raises:
        ValueError: A key is missing, the path cannot be imported, it is not a :class:`ThresholdRule`, or the
            arguments or the state do not fit the class.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> rule_from_dict(rule_to_dict(FixedThreshold(0.3))).threshold
        0.3
    """
    missing = DEFINITION.union({"state"}) - set(stored)
    if missing:
        raise ValueError(f"a stored rule has class_path, init_args and state; {sorted(missing)} missing")
    rule = _build(stored["class_path"], stored["init_args"])
    rule.load_state_dict(stored["state"])
    return rule


def _definition(rule: ThresholdRule) -> dict[str, Any]:
    kind = type(rule)
    if "<locals>" in kind.__qualname__:
        raise ValueError(f"{kind.__qualname__} is defined inside a function and cannot be stored by its path")
    init_args = {}
    for name in list(inspect.signature(kind).parameters):
        if not hasattr(rule, name):
            raise ValueError(f"{kind.__name__} does not keep its argument {name!r} under that name")
        value = getattr(rule, name)
        nested = isinstance(value, ThresholdRule)
        init_args[name] = _definition(value) if nested else _plain(value, f"{kind.__name__}.{name}")
    module = kind.__module__
    package = module.rpartition(".")[0]
    if getattr(sys.modules.get(package), kind.__name__, None) is kind:
        module = package
    return {"class_path": f"{module}.{kind.__qualname__}", "init_args": init_args}


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, where) for key, item in value.items()}
    raise ValueError(f"{where} must be plain numbers, strings, lists or None to be stored, found {value!r}")


def _build(class_path: str, init_args: Mapping[str, Any]) -> ThresholdRule:
    module, _, name = class_path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the stored rule {class_path!r} cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, ThresholdRule)):
        raise ValueError(f"{class_path!r} is not a ThresholdRule")
    arguments = {
        key: _build(**value) if isinstance(value, Mapping) and set(value) == DEFINITION else value
        for key, value in init_args.items()
    }
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"{class_path} cannot be built from {dict(init_args)}: {error}") from error
