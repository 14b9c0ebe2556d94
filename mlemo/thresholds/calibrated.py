"""A decision rule that calibrates probabilities first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from mlemo.thresholds.base import ThresholdRule, check_keys, check_probabilities, number_list
from mlemo.thresholds.calibration_maps import FEWEST, FITS, PARAMETERS, Array, Method, calibrate, identity, stack

__all__ = ["Calibrated"]


class Calibrated(ThresholdRule):
    """Apply another rule to calibrated probabilities; map and inner rule are fitted on the same data.

    The map q(p) minimizes the mean cross-entropy of the data of the fit, ``"isotonic"`` the squared error:

    - ``"temperature"`` (Guo et al. 2017): q = σ(logit(p) / T), T within [0.05, 20]. A probability of 0.5
      remains 0.5. The cross-entropy is convex in 1/T, so that T is exact.
    - ``"platt"`` (Platt 1999): q = σ(a logit(p) + c), a ≥ 0.
    - ``"beta"`` (Kull et al. 2017): q = σ(a ln p − b ln(1 − p) + c), a ≥ 0 and b ≥ 0, which contains the identity, and
      bends both ends separately. Here and for ``"platt"`` the targets of n₊ positives and n₋ negatives are
      (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2) (Platt 1999), so that the coefficients of separated labels are finite.
    - ``"isotonic"`` (Zadrozny and Elkan 2002): any non-decreasing function, linear between its knots. It needs the most
      data, can give exactly 0 and 1, and makes different scores equal.

    The first three keep the order of a label's scores (unless a slope is 0), so that tuned thresholds per class give
    the same decisions on the data of the fit as before (on other data a threshold midway between two scores may fall
    elsewhere between them); one map for all labels keeps the order of all scores, so that the same holds for one tuned
    threshold and :class:`TopK`. They change the decisions of rules that depend on the values of the probabilities:
    :class:`CostSensitive`, :class:`ExpectedF1`, :class:`FixedThreshold` (except at 0.5 under a temperature) and,
    because of its mean, :class:`ThresholdAveraging`.

    Probabilities that mlemo displays and writes remain those of the model; :meth:`probabilities` returns the calibrated
    ones.

    Where the data does not determine a map: a label with fewer than 10 annotated positives or fewer than 10 annotated
    negatives (``"temperature"``: without any) uses the map of all labels together; where all labels together have too
    few, probabilities remain as they are (``"temperature"``: a T that would grow or shrink without bound, as targets
    and scores are contrary or perfectly separated, is 20 or 0.05, and scores that are all 0.5 have T = 1).

    Args:
        rule: The rule that decides.
        per_class: Fit one map per label instead of one for all.
        method: ``"temperature"``, ``"platt"``, ``"beta"`` or ``"isotonic"``.

    Raises:
        ValueError: Unknown method.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> scores = torch.tensor([[0.9], [0.9], [0.9], [0.1]])
        >>> rule = Calibrated(FixedThreshold(0.7)).fit(scores, torch.tensor([[1], [0], [1], [0]]))
        >>> rule.probabilities(scores[:1])
        tensor([[0.7500]])
    """

    def __init__(self, rule: ThresholdRule, per_class: bool = False, method: Method = "temperature") -> None:
        if method not in get_args(Method):
            raise ValueError(f"method must be one of {get_args(Method)}, found {method!r}")
        self.rule = rule
        self.per_class = per_class
        self.method = method
        self.folds = rule.folds
        self._parameters: dict[str, Tensor] | None = None

    def temperatures(self) -> Tensor:
        """Return the fitted temperatures, float32: ``(C,)``, or ``(1,)`` where all labels share one.

        Raises:
            ValueError: The rule is not fitted, or has another method.
        """
        if self.method != "temperature":
            raise ValueError(f"the rule is calibrated by method {self.method!r}, which has no temperatures")
        return self._fitted()["temperatures"].clone()

    def probabilities(self, probabilities: Tensor) -> Tensor:
        """Return the calibrated probabilities.

        Args:
            probabilities: ``(N, C)`` float in [0, 1], of the model.

        Returns:
            ``(N, C)`` float32 in [0, 1].

        Raises:
            ValueError: The rule is not fitted, or wrong shape, dtype or values.
        """
        return self._calibrate(check_probabilities(probabilities))

    def _fitted(self) -> dict[str, Tensor]:
        if self._parameters is None:
            raise ValueError(f"{type(self).__name__} is not fitted: call fit(probabilities, targets) first")
        return self._parameters

    def _calibrate(self, probabilities: Tensor) -> Tensor:
        parameters = self._fitted()
        maps = len(next(iter(parameters.values())))
        if maps not in (1, probabilities.shape[1]):
            raise ValueError(f"the rule was fitted for {maps} labels, found {probabilities.shape[1]} columns")
        return calibrate(parameters, probabilities)

    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        scores, truth, known = (part.T.contiguous().numpy() for part in (probabilities, targets, mask))
        fit, fewest = FITS[self.method], FEWEST[self.method]

        def enough(targets: Array) -> bool:
            return bool(np.bincount(targets, minlength=2).min() >= fewest)

        if self.method == "temperature" or enough(truth[known]):
            shared = fit(scores[known], truth[known])
        else:
            shared = identity(self.method)
        maps = [shared]
        if self.per_class:
            labels = [(score[rows], positive[rows]) for score, positive, rows in zip(scores, truth, known)]
            maps = [fit(*label) if enough(label[1]) else shared for label in labels]
        self._parameters = stack(maps)
        self.rule.fit(self._calibrate(probabilities), targets, mask)

    def _predict(self, probabilities: Tensor) -> Tensor:
        return self.rule.predict(self._calibrate(probabilities))

    def state_dict(self) -> dict[str, Any]:
        """The parameters of the maps by name, ``None`` before :meth:`fit`, and ``rule``, the state of the inner rule.

        The parameters are ``temperatures`` (M numbers), ``coefficients`` (M lists of a, b and c, where a = b for
        ``"platt"``), or ``knots`` and ``values`` (M lists of probabilities before and after); M is C or 1.
        """
        fitted = self._parameters or dict.fromkeys(PARAMETERS[self.method])
        parameters = {name: None if values is None else values.tolist() for name, values in fitted.items()}
        return {**parameters, "rule": self.rule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`.

        Raises:
            ValueError: Other keys, parameters of wrong shapes or values, or a state of another rule.
        """
        names = PARAMETERS[self.method]
        check_keys(self, state, *names, "rule")
        fitted = state[names[0]] is not None
        parameters = {name: _parameter(name, state[name]) for name in names} if fitted else None
        if parameters and len({values.shape for values in parameters.values()}) > 1:
            shapes = [f"{name} of shape {tuple(values.shape)}" for name, values in parameters.items()]
            raise ValueError(f"parameters must have the same shape, found {' and '.join(shapes)}")
        self._parameters = parameters
        self.rule.load_state_dict(state["rule"])

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        how = {"temperature": "", "platt": " by Platt scaling", "beta": " by beta calibration",
               "isotonic": " by isotonic regression"}[self.method]  # fmt: skip
        return f"{self.rule.describe()}, calibrated{how}{' per class' if self.per_class else ''}"


def _parameter(name: str, values: Any) -> Tensor:
    """Convert a stored parameter of maps to float32.

    Raises:
        ValueError: The values are not what the method fits.
    """
    if name == "temperatures":
        temperatures = number_list(values, name)
        if not temperatures.all():
            raise ValueError(f"temperatures must be positive, found {values}")
        return temperatures
    try:
        table = torch.tensor(values, dtype=torch.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be lists of numbers of the same length, found {values!r}") from error
    if table.ndim != 2 or not table.numel() or not table.isfinite().all():
        raise ValueError(f"{name} must be lists of finite numbers of the same length, found {values!r}")
    if name == "coefficients" and table.shape[1] != 3:
        raise ValueError(f"coefficients must be lists of 3 numbers, found {values!r}")
    if name != "coefficients" and not ((table >= 0) & (table <= 1) & (table == table.sort(dim=1).values)).all():
        raise ValueError(f"{name} must be ascending numbers in [0, 1], found {values!r}")
    return table
