"""A decision rule that calibrates probabilities by temperature scaling first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor

from mlemo.thresholds.base import ThresholdRule, check_keys, check_probabilities, number_list

__all__ = ["Calibrated"]

COLDEST, HOTTEST = 0.05, 20.0


class Calibrated(ThresholdRule):
    """Apply another rule to probabilities calibrated by temperature scaling: p → σ(logit(p) / T).

    T minimizes the binary cross-entropy of the data of the fit (Guo et al. 2017), within [0.05, 20]; the inner rule is
    fitted on the calibrated probabilities of the same data. The cross-entropy is convex in 1/T, so that T is exact.

    Scaling keeps the order of a label's scores, so that tuned thresholds per class give the same decisions on the data
    of the fit as before (on other data a threshold midway between two scores may fall elsewhere between them); one T
    for all labels keeps the order of all scores, so that the same holds for one tuned threshold and :class:`TopK`. It
    changes the decisions of rules that depend on the values of the probabilities: :class:`ExpectedF1`,
    :class:`FixedThreshold` (except at 0.5) and, because of its mean, :class:`ThresholdAveraging`.

    Probabilities that mlemo displays and writes remain those of the model; :meth:`probabilities` returns the calibrated
    ones.

    Where the data does not determine T: a label whose annotated targets have one value only uses the T of all labels
    together; scores that are all 0.5 have T = 1; a T that would grow or shrink without bound (targets and scores
    contrary or perfectly separated) is 20 or 0.05.

    Args:
        rule: The rule that decides.
        per_class: Fit one temperature per label instead of one for all.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> scores = torch.tensor([[0.9], [0.9], [0.9], [0.1]])
        >>> rule = Calibrated(FixedThreshold(0.7)).fit(scores, torch.tensor([[1], [0], [1], [0]]))
        >>> rule.probabilities(scores[:1])
        tensor([[0.7500]])
    """

    def __init__(self, rule: ThresholdRule, per_class: bool = False) -> None:
        self.rule = rule
        self.per_class = per_class
        self.folds = rule.folds
        self._temperatures: Tensor | None = None

    def temperatures(self) -> Tensor:
        """Return the fitted temperatures, float32: ``(C,)``, or ``(1,)`` where all labels share one.

        Raises:
            ValueError: The rule is not fitted.
        """
        if self._temperatures is None:
            raise ValueError(f"{type(self).__name__} is not fitted: call fit(probabilities, targets) first")
        return self._temperatures.clone()

    def probabilities(self, probabilities: Tensor) -> Tensor:
        """Return the calibrated probabilities.

        Args:
            probabilities: ``(N, C)`` float in [0, 1], of the model.

        Returns:
            ``(N, C)`` float32 in [0, 1].

        Raises:
            ValueError: The rule is not fitted, or wrong shape, dtype or values.
        """
        return self._scale(check_probabilities(probabilities))

    def _scale(self, probabilities: Tensor) -> Tensor:
        temperatures = self.temperatures()
        if len(temperatures) not in (1, probabilities.shape[1]):
            raise ValueError(
                f"the rule was fitted for {len(temperatures)} labels, found {probabilities.shape[1]} columns"
            )
        return (_logits(probabilities) / temperatures.to(probabilities.device)).sigmoid().float()

    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        logits, truth, known = (part.T.contiguous().numpy() for part in (_logits(probabilities), targets, mask))
        shared = _temperature(logits[known], truth[known])
        values = [shared]
        if self.per_class:
            labels = [(scores[rows], positive[rows]) for scores, positive, rows in zip(logits, truth, known)]
            values = [_temperature(*label) if _two_valued(label[1]) else shared for label in labels]
        self._temperatures = torch.tensor(values, dtype=torch.float32)
        self.rule.fit(self._scale(probabilities), targets, mask)

    def _predict(self, probabilities: Tensor) -> Tensor:
        return self.rule.predict(self._scale(probabilities))

    def state_dict(self) -> dict[str, Any]:
        """``{"temperatures": [floats], "rule": state of the rule}``; no temperatures (``None``) before :meth:`fit`."""
        temperatures = None if self._temperatures is None else self._temperatures.tolist()
        return {"temperatures": temperatures, "rule": self.rule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`.

        Raises:
            ValueError: Other keys, temperatures that are not positive numbers, or a state of another rule.
        """
        check_keys(self, state, "temperatures", "rule")
        values = state["temperatures"]
        temperatures = None if values is None else number_list(values, "temperatures")
        if temperatures is not None and not temperatures.all():
            raise ValueError(f"temperatures must be positive, found {values}")
        self._temperatures = temperatures
        self.rule.load_state_dict(state["rule"])

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        return f"{self.rule.describe()}, calibrated{' per class' if self.per_class else ''}"


def _logits(probabilities: Tensor) -> Tensor:
    """Return log-odds in float64; a probability of 0 or 1 is replaced by the nearest float32 that is neither."""
    limits = torch.finfo(torch.float32)
    return probabilities.clamp(limits.tiny, 1 - limits.eps / 2).double().logit()


def _two_valued(targets: np.ndarray) -> bool:
    return bool(targets.any() and not targets.all())


def _temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Find the T that minimizes the mean cross-entropy of σ(logits / T): the zero of its increasing slope in 1/T."""
    if not logits.any():
        return 1.0

    def slope(scale: float) -> float:
        return float(logits @ (expit(scale * logits) - targets))

    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    return float(1 / brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-9, rtol=1e-7))
