import math
from typing import ClassVar

import pytest
import torch

from mlemo.losses import AsymmetricLoss, AsymmetricPolynomialLoss

from .tester import LossTester, Matrix, make_batch, sigmoid


class TestAsymmetricPolynomialLoss(LossTester):
    losses: ClassVar = {
        "defaults": AsymmetricPolynomialLoss,
        "three coefficients, focused": lambda: AsymmetricPolynomialLoss((2.0, 0.0, 1.0), 1.5, 2.0, 0.1),
        "none": lambda: AsymmetricPolynomialLoss(()),
    }
    single_class = AsymmetricPolynomialLoss

    def reference(
        self, loss: AsymmetricPolynomialLoss, logits: Matrix, targets: Matrix, mask: list[list[bool]]
    ) -> float:
        values = []
        for row_logits, row_targets, row_mask in zip(logits, targets, mask):
            for x, y, annotated in zip(row_logits, row_targets, row_mask):
                p = sigmoid(x)
                shifted = max(p - loss.clip, 0.0)
                # the expansion itself: the leading coefficients, then what is left of the logarithm
                leading = len(loss.coefficients)
                positive = sum(a * (1 - p) ** m for m, a in enumerate(loss.coefficients, 1))
                positive += -math.log(p) - sum((1 - p) ** m / m for m in range(1, leading + 1))
                if annotated:
                    negative = -(shifted**loss.gamma_negative) * math.log(1 - shifted)
                    values.append(y * (1 - p) ** loss.gamma_positive * positive + (1 - y) * negative)
        return sum(values) / max(1, len(values))


def test_golden_values() -> None:
    assert AsymmetricPolynomialLoss()(torch.zeros(1, 1), torch.ones(1, 1)).item() == pytest.approx(
        math.log(2) - 0.5 + 1.25 * 0.25
    )


def test_with_the_coefficients_of_the_logarithm_it_is_the_asymmetric_loss() -> None:
    batch = make_batch(soft=True, masked=True)
    expected = AsymmetricLoss(1.0, 3.0, 0.1)(*batch).item()
    assert AsymmetricPolynomialLoss((1, 1 / 2, 1 / 3), 1.0, 3.0, 0.1)(*batch).item() == pytest.approx(expected)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"clip must lie in \[0, 1\), found 1"):
        AsymmetricPolynomialLoss(clip=1)
