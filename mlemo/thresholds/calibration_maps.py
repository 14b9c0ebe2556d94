"""Monotone maps from probabilities to calibrated probabilities: how each is fitted and applied.

A map is fitted to the annotated entries of one label, or of all labels together. Its parameters are plain numbers by
name; those of several maps are stacked into tensors ``(M, …)`` and applied at once, to M labels or, with M = 1, to all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit
from torch import Tensor

__all__ = ["FEWEST", "FITS", "PARAMETERS", "Method", "calibrate", "identity", "stack"]

Array = NDArray[Any]
Method = Literal["temperature", "platt", "beta", "isotonic"]
Parameters = dict[str, list[float]]

#: Names of the parameters of each method.
PARAMETERS: dict[Method, tuple[str, ...]] = {
    "temperature": ("temperatures",),
    "platt": ("coefficients",),
    "beta": ("coefficients",),
    "isotonic": ("knots", "values"),
}
#: Number of positives, and of negatives, below which a label is not fitted alone.
FEWEST: dict[Method, int] = {"temperature": 1, "platt": 10, "beta": 10, "isotonic": 10}
COLDEST, HOTTEST = 0.05, 20.0


def calibrate(parameters: Mapping[str, Tensor], probabilities: Tensor) -> Tensor:
    """Apply fitted maps.

    Args:
        parameters: ``temperatures`` ``(M,)``; or ``coefficients`` ``(M, 3)``; or ``knots`` and ``values``, each
            ``(M, K)``. M is 1 or C.
        probabilities: ``(N, C)`` float32 in [0, 1].

    Returns:
        ``(N, C)`` float32 in [0, 1].
    """
    parameters = {name: values.to(probabilities.device) for name, values in parameters.items()}
    if "knots" in parameters:
        return _interpolate(parameters["knots"], parameters["values"], probabilities)
    log_p, log_not_p = _logarithms(probabilities)
    if "temperatures" in parameters:
        return ((log_p - log_not_p) / parameters["temperatures"]).sigmoid().float()
    a, b, c = parameters["coefficients"].T
    return (a * log_p - b * log_not_p + c).sigmoid().float()


def stack(maps: list[Parameters]) -> dict[str, Tensor]:
    """Stack the parameters of several maps into tensors, float32; shorter lists are padded with their last number."""
    stacked = {}
    for name in maps[0]:
        longest = max(len(each[name]) for each in maps)
        rows = [each[name] + each[name][-1:] * (longest - len(each[name])) for each in maps]
        stacked[name] = torch.tensor(rows, dtype=torch.float32)
    if "temperatures" in stacked:
        stacked["temperatures"] = stacked["temperatures"][:, 0]
    return stacked


def identity(method: Method) -> Parameters:
    """Return the parameters of the map that leaves probabilities as they are."""
    if method == "isotonic":
        return {"knots": [0.0, 1.0], "values": [0.0, 1.0]}
    return {"temperatures": [1.0]} if method == "temperature" else {"coefficients": [1.0, 1.0, 0.0]}


def _fit_temperature(probabilities: Array, targets: Array) -> Parameters:
    """Find the T that minimizes the mean cross-entropy of σ(logits / T): the zero of its increasing slope in 1/T."""
    log_p, log_not_p = _logarithms(torch.from_numpy(probabilities))
    logits = (log_p - log_not_p).numpy()

    def slope(scale: float) -> float:
        return float(logits @ (expit(scale * logits) - targets))

    if not logits.any():
        temperature = 1.0
    elif slope(1 / HOTTEST) >= 0:
        temperature = HOTTEST
    elif slope(1 / COLDEST) <= 0:
        temperature = COLDEST
    else:
        temperature = float(1 / brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-9, rtol=1e-7))
    return {"temperatures": [temperature]}


def _fit_platt(probabilities: Array, targets: Array) -> Parameters:
    """Fit σ(a logit p + c), a ≥ 0."""
    log_p, log_not_p = _logarithms(torch.from_numpy(probabilities))
    a, c = _logistic_regression((log_p - log_not_p)[:, None].numpy(), targets)
    return {"coefficients": [a, a, c]}


def _fit_beta(probabilities: Array, targets: Array) -> Parameters:
    """Fit σ(a ln p − b ln(1 − p) + c), a ≥ 0 and b ≥ 0."""
    log_p, log_not_p = _logarithms(torch.from_numpy(probabilities))
    return {"coefficients": _logistic_regression(torch.stack([log_p, -log_not_p], dim=1).numpy(), targets)}


def _fit_isotonic(probabilities: Array, targets: Array) -> Parameters:
    """Fit the non-decreasing function with the least squared error, linear between its knots."""
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415  # takes a second to import

    fitted = IsotonicRegression(y_min=0, y_max=1).fit(probabilities.astype(np.float64), targets.astype(np.float64))
    return {"knots": fitted.X_thresholds_.tolist(), "values": fitted.y_thresholds_.tolist()}


FITS: dict[Method, Callable[[Array, Array], Parameters]] = {
    "temperature": _fit_temperature,
    "platt": _fit_platt,
    "beta": _fit_beta,
    "isotonic": _fit_isotonic,
}


def _logarithms(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return ln p and ln(1 − p) in float64; a p of 0 or 1 is replaced by the nearest float32 that is neither."""
    limits = torch.finfo(torch.float32)
    p = probabilities.clamp(limits.tiny, 1 - limits.eps / 2).double()
    return p.log(), (-p).log1p()


def _logistic_regression(features: Array, targets: Array) -> list[float]:
    """Minimize the mean cross-entropy of σ(features · w + c) over w ≥ 0 and c; return w and c.

    The targets of n₊ positives and n₋ negatives are (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2) (Platt 1999), so that the
    minimum is finite where the labels are perfectly separated. The start, w = 1 and c = 0, is the identity.
    """
    positives = targets.sum()
    soft = np.where(targets, (positives + 1) / (positives + 2), 1 / (len(targets) - positives + 2))

    def loss_and_gradient(weights: Array) -> tuple[float, Array]:
        logits = features @ weights[:-1] + weights[-1]
        errors = expit(logits) - soft
        loss = (np.logaddexp(0, logits) - soft * logits).mean()
        return float(loss), np.append(errors @ features, errors.sum()) / len(targets)

    slopes = features.shape[1]
    found = minimize(
        loss_and_gradient,
        np.append(np.ones(slopes), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * slopes + [(None, None)],
        options={"ftol": 1e-13, "gtol": 1e-8},
    )
    weights: list[float] = found.x.tolist()
    return weights


def _interpolate(knots: Tensor, values: Tensor, probabilities: Tensor) -> Tensor:
    """Interpolate linearly between the knots of each label; constant beyond the first and the last."""
    labels = probabilities.shape[1]
    knots, values = knots.expand(labels, -1).contiguous(), values.expand(labels, -1)
    p = probabilities.T.contiguous()
    above = torch.searchsorted(knots, p).clamp(max=knots.shape[1] - 1)
    below = (above - 1).clamp(min=0)
    left, right = knots.gather(1, below), knots.gather(1, above)
    share = ((p - left) / (right - left)).nan_to_num(nan=0.0).clamp(0, 1)
    return torch.lerp(values.gather(1, below), values.gather(1, above), share).T.contiguous()
