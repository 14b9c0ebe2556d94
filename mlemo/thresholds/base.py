"""What every decision rule has in common: the contract, the checks of its input, and how a fitted rule is stored."""

from __future__ import annotations

import importlib
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["CutRule", "ThresholdRule", "check_probabilities", "check_targets", "rule_from_dict", "rule_to_dict"]


def check_probabilities(probabilities: Tensor) -> Tensor:
    """Probabilities as the rules and metrics use them: detached, in single precision.

    Args:
        probabilities: ``(N, C)``, any floating dtype, within [0, 1].

    Returns:
        ``(N, C)`` float32, on the same device.

    Raises:
        ValueError: Not two-dimensional, not floating, NaN, or outside [0, 1].
    """
    if probabilities.ndim != 2 or not probabilities.is_floating_point():
        raise ValueError(
            f"probabilities must be a floating tensor of shape (N, C), "
            f"found {probabilities.dtype} of shape {tuple(probabilities.shape)}"
        )
    probabilities = probabilities.detach().float()
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        unknown = probabilities.isnan()
        if unknown.any():
            row, column = unknown.nonzero()[0].tolist()
            raise ValueError(f"probabilities hold {int(unknown.sum())} NaN, the first in row {row}, column {column}")
        raise ValueError(
            f"probabilities must lie in [0, 1], found {probabilities.min():.6g} to {probabilities.max():.6g}; "
            f"logits need a sigmoid first"
        )
    return probabilities


def check_targets(targets: Tensor, mask: Tensor | None, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Targets and mask as booleans; what a target holds where the mask is ``False`` does not matter.

    Args:
        targets: ``(N, C)``, 0 or 1 in any dtype wherever the mask is ``True``.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        shape: The shape of the probabilities, ``(N, C)``.

    Returns:
        Targets ``(N, C)`` bool, ``False`` where not annotated; mask ``(N, C)`` bool.

    Raises:
        ValueError: A shape differs from that of the probabilities, the mask is not bool, or a target is not 0 or 1.
    """
    if tuple(targets.shape) != tuple(shape):
        raise ValueError(f"targets have shape {tuple(targets.shape)}, the probabilities {tuple(shape)}")
    if mask is None:
        mask = torch.ones_like(targets, dtype=torch.bool)
    if tuple(mask.shape) != tuple(shape) or mask.dtype != torch.bool:
        raise ValueError(f"the mask must be bool of shape {tuple(shape)}, found {mask.dtype} of {tuple(mask.shape)}")
    wrong = mask & (targets != 0) & (targets != 1)
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(f"targets must be 0 or 1, found {targets[row, column].item()} in row {row}, column {column}")
    return (targets == 1) & mask, mask


class ThresholdRule(ABC):
    """Turns probabilities into label sets; fitted on validation data where it has something to fit.

    A rule keeps each of its ``__init__`` arguments under the argument's own name, as plain numbers, strings, lists
    or ``None``: :func:`rule_to_dict` reads them there.
    """

    def fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor | None = None) -> Self:
        """Fit the rule.

        Args:
            probabilities: ``(N, C)`` float in [0, 1].
            targets: ``(N, C)``, 0 or 1.
            mask: ``(N, C)`` bool, ``False`` = not annotated and never counted; ``None`` = all annotated.

        Returns:
            The rule itself.

        Raises:
            ValueError: Wrong shapes, dtypes or values, or not one annotated entry.
        """
        probabilities = check_probabilities(probabilities)
        targets, mask = check_targets(targets, mask, tuple(probabilities.shape))
        if not mask.any():
            raise ValueError(
                f"fitting {type(self).__name__} needs annotated entries, "
                f"found none in probabilities of shape {tuple(probabilities.shape)}"
            )
        self._fit(probabilities.cpu(), targets.cpu(), mask.cpu())
        return self

    def predict(self, probabilities: Tensor) -> Tensor:
        """Decide for each label of each sample.

        Args:
            probabilities: ``(N, C)`` float in [0, 1].

        Returns:
            ``(N, C)`` bool, on the device of the probabilities.

        Raises:
            ValueError: The rule is not fitted, or wrong shape, dtype or values.
        """
        return self._predict(check_probabilities(probabilities))

    def thresholds(self) -> Tensor | None:
        """The cut of each label, ``(C,)`` float32; ``None`` for a rule that decides in another way.

        Raises:
            ValueError: The rule has cuts but is not fitted.
        """
        return None

    @abstractmethod
    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Fit on checked CPU tensors; ``targets`` is bool and ``False`` wherever ``mask`` is."""

    @abstractmethod
    def _predict(self, probabilities: Tensor) -> Tensor:
        """Decide on checked float32 probabilities."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What was fitted, as plain numbers, strings, lists and ``None``."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            ValueError: The state does not belong to this kind of rule.
        """

    @abstractmethod
    def describe(self) -> str:
        """One line for tables of results: the rule and its objective."""


class CutRule(ThresholdRule):
    """A rule with one cut per label: label c is on where its probability is at least ``thresholds()[c]``.

    Probabilities and cuts are compared in single precision, when fitting and when predicting.
    """

    _thresholds: Tensor | None = None

    @abstractmethod
    def _cuts(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """The cuts, ``(C,)``, from checked CPU tensors."""

    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        self._thresholds = self._cuts(probabilities, targets, mask).float()

    def _predict(self, probabilities: Tensor) -> Tensor:
        cuts = self.thresholds()
        if probabilities.shape[1] != len(cuts):
            raise ValueError(f"the rule was fitted for {len(cuts)} labels, found {probabilities.shape[1]} columns")
        return probabilities >= cuts.to(probabilities.device)

    def thresholds(self) -> Tensor:
        """The fitted cuts, ``(C,)`` float32.

        Raises:
            ValueError: The rule is not fitted.
        """
        if self._thresholds is None:
            raise ValueError(f"{type(self).__name__} is not fitted: call fit(probabilities, targets) first")
        return self._thresholds.clone()

    def state_dict(self) -> dict[str, Any]:
        """``{"thresholds": [C floats]}``, or ``{"thresholds": None}`` before :meth:`fit`."""
        return {"thresholds": None if self._thresholds is None else self._thresholds.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            ValueError: Other keys, or thresholds that are not finite numbers of at least 0.
        """
        if set(state) != {"thresholds"}:
            raise ValueError(f"the state of {type(self).__name__} has the key 'thresholds', found {sorted(state)}")
        values = state["thresholds"]
        if values is None:
            self._thresholds = None
            return
        if not isinstance(values, list) or not values or not all(isinstance(v, (int, float)) for v in values):
            raise ValueError(f"thresholds must be a non-empty list of numbers, found {values!r}")
        cuts = torch.tensor(values, dtype=torch.float32)
        if not (cuts.isfinite() & (cuts >= 0)).all():
            raise ValueError(f"thresholds must be finite and at least 0, found {values}")
        self._thresholds = cuts


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, where) for key, item in value.items()}
    raise ValueError(f"{where} must be plain numbers, strings, lists or None to be stored, found {value!r}")


def rule_to_dict(rule: ThresholdRule) -> dict[str, Any]:
    """A rule as plain values, so that a checkpoint can hold it and ``torch.load(weights_only=True)`` can read it.

    Args:
        rule: A rule of mlemo or of the user, fitted or not.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}, "state": {...}}``. The path is the one that the rule's
        package exports, where it does, so that files may move without breaking checkpoints.

    Raises:
        ValueError: The class cannot be imported by a path (it was defined inside a function), or an ``__init__``
            argument is not kept as a plain value under its own name.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> rule_to_dict(FixedThreshold(0.3))["class_path"], rule_to_dict(FixedThreshold(0.3))["init_args"]
        ('mlemo.thresholds.FixedThreshold', {'threshold': 0.3})
    """
    kind = type(rule)
    if "<locals>" in kind.__qualname__:
        raise ValueError(f"{kind.__qualname__} is defined inside a function and cannot be stored by its path")
    init_args = {}
    for name in list(inspect.signature(kind).parameters):
        if not hasattr(rule, name):
            raise ValueError(f"{kind.__name__} does not keep its argument {name!r} under that name")
        init_args[name] = _plain(getattr(rule, name), f"{kind.__name__}.{name}")
    module = kind.__module__
    package = module.rpartition(".")[0]
    if getattr(sys.modules.get(package), kind.__name__, None) is kind:
        module = package
    return {
        "class_path": f"{module}.{kind.__qualname__}",
        "init_args": init_args,
        "state": _plain(rule.state_dict(), f"the state of {kind.__name__}"),
    }


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
    missing = {"class_path", "init_args", "state"} - set(stored)
    if missing:
        raise ValueError(f"a stored rule has class_path, init_args and state; {sorted(missing)} missing")
    path = stored["class_path"]
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the stored rule {path!r} cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, ThresholdRule)):
        raise ValueError(f"{path!r} is not a ThresholdRule")
    try:
        rule = kind(**stored["init_args"])
    except TypeError as error:
        raise ValueError(f"{path} cannot be built from {stored['init_args']}: {error}") from error
    rule.load_state_dict(stored["state"])
    return rule
