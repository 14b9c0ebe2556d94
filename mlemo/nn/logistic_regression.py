"""L2-regularized logistic regression over many features, dense or sparse."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    #: Features ``(N, F)`` float64.
    Matrix: TypeAlias = NDArray[np.float64] | csr_matrix

__all__ = ["CERTAIN", "as_matrix", "logistic_regression"]

#: Logit of a label with one value in training; its probability is 1 - 2e-9, or 2e-9.
CERTAIN = 20.0
SPARSE = 0.1  #: share of numbers other than 0 below which dense features are solved as sparse ones


def as_matrix(features: Tensor) -> Matrix:
    """Convert features to the form that the solver needs.

    Args:
        features: ``(N, F)``, dense or sparse (COO).

    Returns:
        The same numbers in float64, sparse where fewer than a tenth are not 0.
    """
    from scipy.sparse import csr_matrix  # noqa: PLC0415  # few models need it

    if features.is_sparse:
        features = features.cpu().coalesce()
        entries = features.values().numpy().astype(np.float64), tuple(features.indices().numpy())
        return csr_matrix(entries, shape=tuple(features.shape))
    dense = features.cpu().numpy().astype(np.float64)
    return csr_matrix(dense) if np.count_nonzero(dense) < SPARSE * dense.size else dense


def logistic_regression(
    features: Matrix, targets: NDArray[np.bool_], regularization: float, balanced: bool = False
) -> tuple[NDArray[np.float64], float]:
    """Minimize ``½ ‖w‖² + C Σ log(1 + exp(−(2y − 1)(w·x + b)))`` over w and b.

    Args:
        features: x, ``(N, F)``, from `as_matrix`.
        targets: y, ``(N,)``.
        regularization: C, the inverse strength of the penalty, as in scikit-learn; b is not penalized.
        balanced: Weight each row by the inverse share of its target, so that both targets have the same total weight.

    Returns:
        w ``(F,)`` and b. Where all targets are equal, w is 0 and b is `CERTAIN` with the sign of the target; without
        rows that of an absent label.

    Example:
        >>> weights, bias = logistic_regression(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1]) > 0, 1.0)
        >>> [round(float(weights[0]), 4), round(bias, 4)]
        [0.4529, -0.6793]
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # as above

    if targets.all() or not targets.any():
        return np.zeros(features.shape[1]), CERTAIN if targets.any() else -CERTAIN
    # newton-cg: as fast as liblinear, which penalizes b, and twice as fast as lbfgs on sparse features
    settings = {"solver": "newton-cg", "tol": 1e-6, "max_iter": 1000, "class_weight": "balanced" if balanced else None}
    model = LogisticRegression(C=regularization, **settings).fit(features, targets)
    return model.coef_[0], float(model.intercept_[0])
