"""The base classes of decision rules, and the checks of their input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

__all__ = [
    "PerClassRule",
    "StatelessRule",
    "ThresholdRule",
    "check_keys",
    "check_probabilities",
    "check_targets",
    "number_list",
]


def check_probabilities(probabilities: Tensor) -> Tensor:
    """Check probabilities, detach them and convert them to single precision.

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
    """Check targets and mask and convert them to booleans; targets are ignored where the mask is ``False``.

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


def check_keys(rule: ThresholdRule, state: Mapping[str, Any], *keys: str) -> None:
    """Raise an error unless a state has exactly these keys.

    Raises:
        ValueError: The state has other keys.
    """
    if set(state) != set(keys):
        raise ValueError(f"the state of {type(rule).__name__} has the keys {sorted(keys)}, found {sorted(state)}")


def number_list(values: Any, name: str) -> Tensor:
    """Convert a stored list of finite, non-negative numbers to float32.

    Raises:
        ValueError: The value is anything else.
    """
    if not isinstance(values, list) or not values or not all(isinstance(v, (int, float)) for v in values):
        raise ValueError(f"{name} must be a non-empty list of numbers, found {values!r}")
    numbers = torch.tensor(values, dtype=torch.float32)
    if not (numbers.isfinite() & (numbers >= 0)).all():
        raise ValueError(f"{name} must be finite and at least 0, found {values}")
    return numbers


class ThresholdRule(ABC):
    """A rule that turns probabilities into label sets; fitted on validation data where it has parameters to fit.

    A rule stores each of its ``__init__`` arguments in an attribute of the same name, as plain numbers, strings, lists,
    ``None`` or another rule: :func:`mlemo.thresholds.rule_to_dict` reads them there.

    Attributes:
        learns: Whether the decisions depend on the data that the rule was fitted on.
        folds: Number of folds that the rows of the fit are split into; 0 for no split.
    """

    learns: bool = True
    folds: int = 0

    def fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor | None = None) -> Self:
        """Fit the rule.

        Args:
            probabilities: ``(N, C)`` float in [0, 1].
            targets: ``(N, C)``, 0 or 1.
            mask: ``(N, C)`` bool, ``False`` = not annotated and ignored; ``None`` = all annotated.

        Returns:
            The rule itself.

        Raises:
            ValueError: Wrong shapes, dtypes or values, or no annotated entry.
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
        """Return the threshold of each label, ``(C,)`` float32; ``None`` for a rule without thresholds.

        Raises:
            ValueError: The rule has thresholds but is not fitted.
        """
        return None

    @abstractmethod
    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Fit on checked CPU tensors; ``targets`` is bool and ``False`` wherever ``mask`` is."""

    @abstractmethod
    def _predict(self, probabilities: Tensor) -> Tensor:
        """Predict from checked float32 probabilities."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return the fitted state as plain numbers, strings, lists and ``None``."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`.

        Raises:
            ValueError: The state is not one of this kind of rule.
        """

    @abstractmethod
    def describe(self) -> str:
        """Describe the rule and its objective in one line, for tables of results."""


class PerClassRule(ThresholdRule):
    """A rule with one threshold per label: label c is on where its probability is at least ``thresholds()[c]``.

    Probabilities and thresholds are compared in single precision, when fitting and when predicting.
    """

    _thresholds: Tensor | None = None

    @abstractmethod
    def _fit_thresholds(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Compute the thresholds, ``(C,)``, from checked CPU tensors."""

    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        self._thresholds = self._fit_thresholds(probabilities, targets, mask).float()

    def _predict(self, probabilities: Tensor) -> Tensor:
        thresholds = self.thresholds()
        if probabilities.shape[1] != len(thresholds):
            raise ValueError(
                f"the rule was fitted for {len(thresholds)} labels, found {probabilities.shape[1]} columns"
            )
        return probabilities >= thresholds.to(probabilities.device)

    def thresholds(self) -> Tensor:
        """Return the fitted thresholds, ``(C,)`` float32.

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
        """Restore the state returned by :meth:`state_dict`.

        Raises:
            ValueError: Other keys, or thresholds that are not finite numbers of at least 0.
        """
        check_keys(self, state, "thresholds")
        values = state["thresholds"]
        self._thresholds = None if values is None else number_list(values, "thresholds")


class StatelessRule(ThresholdRule):
    """A rule without parameters: :meth:`fit` only checks its input, and :meth:`predict` works without it."""

    learns = False

    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state, ``{}``."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`.

        Raises:
            ValueError: The state is not empty.
        """
        check_keys(self, state)
