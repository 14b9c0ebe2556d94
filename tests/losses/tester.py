"""The tests that every loss passes, present and future.

A test file of a loss derives a class from `LossTester`, names one or more ways to build the loss, and writes its
formula once more, by loops over Python numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from mlemo.losses import Loss
from mlemo.losses.base import ElementwiseLoss, MultiTermLoss

ROWS, CLASSES = 6, 5

Matrix = list[list[float]]


def sigmoid(x: float) -> float:
    """σ(x) of a Python number."""
    return 1 / (1 + math.exp(-x))


def softmax(row: list[float]) -> list[float]:
    """softmax of Python numbers."""
    powers = [math.exp(x) for x in row]
    return [power / sum(powers) for power in powers]


def make_batch(
    rows: int = ROWS, classes: int = CLASSES, *, soft: bool = False, masked: bool = False, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Random logits (float64), targets and mask; the first row of several has no positive label."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    targets = torch.rand(rows, classes, generator=generator, dtype=torch.float64)
    targets = targets if soft else (targets < 0.4).double()
    if rows > 1:
        targets[0] = 0
    mask = torch.ones(rows, classes, dtype=torch.bool)
    if masked:
        mask = torch.rand(rows, classes, generator=generator) < 0.7
        mask[-1] = False
    return logits, targets, mask


class LossTester:
    """Derive, set ``losses`` (and what else differs), and write `reference`.

    Attributes:
        losses: Ways to build the loss, by name; for `CLASSES` classes where that matters.
        single_class: How to build it for one class.
        soft_targets: Whether targets between 0 and 1 are allowed; where they are not, they must be refused.
        batchwise_exceptions: Names of ``losses`` whose settings make a mean over rows of a ``batchwise`` class, or the
            reverse.
        says_samples: Whether it says the loss of each sample, as everything must that is no loss of a batch.
        grows_with_batch: Whether a batch has another loss than the same batch twice, as a sum within a logarithm.
    """

    losses: ClassVar[dict[str, Callable[[], Loss]]]
    single_class: ClassVar[Callable[[], Loss]]
    soft_targets: ClassVar[bool] = True
    batchwise_exceptions: ClassVar[frozenset[str]] = frozenset()
    says_samples: ClassVar[bool] = True
    grows_with_batch: ClassVar[bool] = False

    def reference(self, loss: Any, logits: Matrix, targets: Matrix, mask: list[list[bool]]) -> float:
        """The formula, by loops."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per way to build the loss."""
        if "make" in metafunc.fixturenames:
            losses = metafunc.cls.losses
            metafunc.parametrize("make", list(losses.values()), ids=list(losses))

    def check_against_reference(self, loss: Loss, logits: Tensor, targets: Tensor, mask: Tensor) -> None:
        expected = self.reference(loss, logits.tolist(), targets.tolist(), mask.tolist())
        # Weights and costs are kept in float32.
        assert loss(logits, targets, mask).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)

    @pytest.mark.parametrize("masked", [False, True], ids=["all annotated", "masked"])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_the_formula(self, make: Callable[[], Loss], masked: bool, seed: int) -> None:
        self.check_against_reference(make(), *make_batch(masked=masked, seed=seed))

    def test_the_formula_for_soft_targets(self, make: Callable[[], Loss]) -> None:
        if self.soft_targets:
            self.check_against_reference(make(), *make_batch(soft=True, masked=True))
        else:
            with pytest.raises(ValueError, match="targets"):
                make()(*make_batch(soft=True, masked=True))

    def test_no_mask_means_all_annotated(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch()
        loss = make()
        assert torch.equal(loss(logits, targets), loss(logits, targets, mask))

    def test_the_gradient(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch(rows=3, masked=True, seed=4)
        loss = make().double()
        logits.requires_grad_()
        # the parameters are the loss's own, whose entries the check changes in place
        assert torch.autograd.gradcheck(lambda x, *_: loss(x, targets, mask), (logits, *loss.parameters()))

    def test_entries_without_annotation_change_nothing(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch(masked=True)
        loss = make()
        expected = loss(logits, targets, mask)
        for garbage in (0.0, 77.0, float("nan"), float("inf")):
            changed = logits.masked_fill(~mask, garbage).requires_grad_()
            value = loss(changed, targets.masked_fill(~mask, garbage), mask)
            value.backward()
            assert torch.equal(value, expected)
            assert changed.grad is not None
            assert torch.all(changed.grad[~mask] == 0)
            assert torch.all(changed.grad[mask].isfinite())
            assert changed.grad[mask].abs().sum() > 0

    def test_a_batch_and_the_same_batch_twice_have_the_same_loss(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch(masked=True)
        loss = make()
        twice = loss(torch.cat([logits, logits]), torch.cat([targets, targets]), torch.cat([mask, mask]))
        same = twice.item() == pytest.approx(loss(logits, targets, mask).item(), rel=1e-9)
        assert same is not self.grows_with_batch

    def test_halves_of_a_batch_say_whether_the_loss_is_batchwise(
        self, make: Callable[[], Loss], request: pytest.FixtureRequest
    ) -> None:
        logits, targets, _ = make_batch()
        loss = make()
        halves = zip(logits.split(ROWS // 2), targets.split(ROWS // 2))
        mean = sum(loss(*half).item() for half in halves) / 2
        differs = mean != pytest.approx(loss(logits, targets).item(), rel=1e-6)
        exception = request.node.callspec.id in self.batchwise_exceptions
        assert differs is (loss.batchwise is not exception)

    def test_the_loss_of_a_sample_is_that_of_a_batch_of_its_own(
        self, make: Callable[[], Loss], request: pytest.FixtureRequest
    ) -> None:
        logits, targets, mask = make_batch(masked=True, seed=5)
        loss = make()
        values = loss.per_sample(logits, targets, mask)
        of_batch = loss.batchwise or request.node.callspec.id in self.batchwise_exceptions
        assert (values is None) is (of_batch or not self.says_samples)
        if values is None:
            return
        rows = zip(logits.tolist(), targets.tolist(), mask.tolist())
        expected = [self.reference(loss, *([part] for part in row)) for row in list(rows)[:-1]]
        assert values.tolist() == pytest.approx([*expected, 0], rel=1e-6, abs=1e-9), "the last has no annotation"
        values = loss.per_sample(logits.float(), targets, index=torch.arange(ROWS))
        assert values is not None
        assert values.dtype == torch.float32
        assert values.mean().item() == pytest.approx(loss(logits.float(), targets).item(), rel=1e-5)

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_targets_all_alike(self, make: Callable[[], Loss], value: float) -> None:
        logits, _, mask = make_batch()
        self.check_against_reference(make(), logits, torch.full_like(logits, value), mask)

    def test_one_sample(self, make: Callable[[], Loss]) -> None:
        self.check_against_reference(make(), *make_batch(rows=1))

    def test_one_class(self) -> None:
        self.check_against_reference(type(self).single_class(), *make_batch(classes=1, masked=True))

    @pytest.mark.parametrize("annotated", [False, True], ids=["no entry", "no row"])
    def test_an_empty_batch_has_loss_zero_with_a_graph(self, make: Callable[[], Loss], annotated: bool) -> None:
        logits, targets, mask = make_batch()
        logits, targets, mask = (logits[:0], targets[:0], mask[:0]) if annotated else (logits, targets, mask & False)
        logits.requires_grad_()
        value = make()(logits, targets, mask)
        value.backward()
        assert value.item() == 0
        assert logits.grad is not None
        assert torch.all(logits.grad == 0)

    @staticmethod
    def check_finite(loss: Loss, logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        logits = logits.clone().requires_grad_()
        value = loss(logits, targets, mask)
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite()
        for gradient in [logits.grad, *(parameter.grad for parameter in loss.parameters())]:
            assert gradient is not None
            assert torch.all(gradient.isfinite())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
    def test_extreme_logits_are_finite(self, make: Callable[[], Loss], dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, (ROWS, CLASSES), generator=generator) * 2.0 - 1
        targets = torch.randint(0, 2, (ROWS, CLASSES), generator=generator).float()
        targets[0], targets[1] = 0, 1
        mask = torch.ones(ROWS, CLASSES, dtype=torch.bool)
        mask[2], mask[3, :3] = False, False
        for size in (1e-3, 1.0, 100.0):
            self.check_finite(make(), (size * signs).to(dtype), targets, mask)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
    @pytest.mark.parametrize("value", [0.0, 1.0], ids=["no label", "all labels"])
    def test_extreme_logits_all_alike_are_finite(
        self, make: Callable[[], Loss], value: float, dtype: torch.dtype
    ) -> None:
        # where every prediction and every target is the same, sums and their denominators are as small as they get
        for rows in (ROWS, 1):
            for logit in (-100.0, 0.0, 100.0):
                targets = torch.full((rows, CLASSES), value)
                self.check_finite(make(), torch.full((rows, CLASSES), logit, dtype=dtype), targets)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
    def test_extreme_logits_of_one_class_are_finite(self, dtype: torch.dtype) -> None:
        make = type(self).single_class
        for rows in (ROWS, 1):
            for logit in (-100.0, 100.0):
                for value in (0.0, 1.0):
                    self.check_finite(make(), torch.full((rows, 1), logit, dtype=dtype), torch.full((rows, 1), value))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
    def test_half_precision_logits_are_computed_in_float32(self, make: Callable[[], Loss], dtype: torch.dtype) -> None:
        logits, targets, mask = make_batch(masked=True)
        logits = logits.to(dtype)
        expected = make()(logits.float(), targets.float(), mask)
        assert torch.equal(make()(logits, targets.to(dtype), mask), expected)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert make()(logits, targets, mask).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_the_gradient_mode_is_respected(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch()
        loss = make()
        logits.requires_grad_()
        with torch.no_grad():
            value = loss(logits, targets, mask)
            assert not torch.is_grad_enabled()
        assert not value.requires_grad
        assert loss(logits, targets, mask).requires_grad

    @pytest.mark.usefixtures("no_autocast")
    def test_the_host_never_waits_for_the_device(self, make: Callable[[], Loss]) -> None:
        # tensors on the meta device have no value: whatever reads one raises
        logits, targets, mask = (part.to("meta") for part in make_batch(masked=True))
        loss = make().to("meta")
        loss(logits.requires_grad_(), targets, mask).backward()
        loss.per_sample(logits, targets, mask)

    def test_any_context_is_accepted(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch()
        loss = make()
        assert torch.equal(loss(logits, targets, mask, index=torch.arange(ROWS)), loss(logits, targets, mask))

    def test_integer_and_bool_targets(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch()
        loss = make()
        assert torch.equal(loss(logits, targets.long(), mask), loss(logits, targets, mask))
        assert torch.equal(loss(logits, targets.bool(), mask), loss(logits, targets, mask))

    def test_wrong_inputs_are_refused(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch()
        loss = make()
        with pytest.raises(ValueError, match=r"logits must have shape \(N, C\), found \(5,\)"):
            loss(logits[0], targets[0])
        with pytest.raises(ValueError, match=r"targets have shape \(6, 4\), expected .* \(6, 5\)"):
            loss(logits, targets[:, :4])
        with pytest.raises(ValueError, match=r"mask has shape \(1, 5\), expected .* \(6, 5\)"):
            loss(logits, targets, mask[:1])
        with pytest.raises(ValueError, match=r"mask must be bool .* found torch\.float32"):
            loss(logits, targets, mask.float())
        with pytest.raises(ValueError, match=r"logits must be floating point, found torch\.int64"):
            loss(logits.long(), targets)
        for value, shown in ((1.5, "1.5"), (-0.25, "-0.25"), (float("nan"), "nan")):
            wrong = targets.clone()
            wrong[2, 3] = value
            with pytest.raises(ValueError, match=rf"\[0, 1\], found {shown} at row 2, label 3"):
                loss(logits, wrong)

    def test_the_parts_agree_with_the_whole(self, make: Callable[[], Loss]) -> None:
        logits, targets, mask = make_batch(masked=True)
        loss = make()
        logits.requires_grad_()
        value = loss(logits, targets, mask)
        if isinstance(loss, ElementwiseLoss):
            entries = loss.elementwise(logits, targets, mask)
            assert entries.shape == logits.shape
            assert torch.all(entries[~mask] == 0)
            assert (entries.sum() / mask.sum()).item() == pytest.approx(value.item())
        if isinstance(loss, MultiTermLoss):
            components, weights = loss.components(logits, targets, mask), loss.weights()
            assert list(components) == list(weights) == list(loss.last_components)
            total = sum(weights[name].item() * components[name].item() for name in weights)
            assert total == pytest.approx(value.item(), rel=1e-5)
            for name, component in components.items():
                assert component.requires_grad
                assert not weights[name].requires_grad
                assert not loss.last_components[name].requires_grad
                assert torch.equal(loss.last_components[name], component)
