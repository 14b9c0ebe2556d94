import copy
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

import mlemo.losses
from mlemo.losses import BinaryCrossEntropy, FocalLoss, Loss, SigmoidF1Loss, WassersteinLoss, WeightedDifferenceLoss
from mlemo.losses.base import check_inputs, class_vector, masked_mean

from .tester import LossTester, make_batch

#: What a loss cannot be built without.
REQUIRED = {
    "CompositeLoss": "{terms: {bce: {class_path: mlemo.losses.BinaryCrossEntropy}}}",
    "DistillationLoss": "{teacher: runs/teacher}",
}

CONFIGURATIONS = {
    "AdaptiveFocalLoss": "{gamma_min: 0.5, gamma_max: 2, momentum: 0.9, negative_term: true}",
    "DistillationLoss": "{teacher: x, weight: 0.3, temperature: 2, hard: {class_path: mlemo.losses.FocalLoss}}",
    "AsymmetricPolynomialLoss": "{coefficients: [0, 1.5, 2], gamma_positive: 1.0, gamma_negative: 2, clip: 0.1}",
    "BinaryCrossEntropy": "{class_weights: [1.0, 2.0, 3.0, 4.0, 5.0], smoothing: 0.1}",
    "DistributionBalancedLoss": "{alpha: 0.2, beta: 5, mu: 0.3, negative_scale: 5, bias_scale: 0.1}",
    "HillLoss": "{weight: 2, margin: 0.5, gamma: 1}",
    "JaccardContrastiveLoss": "{temperature: 0.5}",
    "LogitAdjustedLoss": "{tau: 0.5}",
    "PairwiseAUCLoss": "{margin: 2, gather: true}",
    "RDropLoss": "{alpha: 5, loss: {class_path: mlemo.losses.FocalLoss, init_args: {gamma: 1.0}}}",
    "SPLCLoss": "{threshold: 0.7, margin: 0, gamma: 1, warmup_epochs: 2}",
    "TwoWayLoss": "{positive_temperature: 1, negative_temperature: 2, gather: true}",
    "CompositeLoss": (
        "{terms: {bce: {class_path: mlemo.losses.BinaryCrossEntropy}, rank: {class_path: "
        "mlemo.losses.PairwiseRankingLoss, init_args: {margin: 0.3}}}, weights: {bce: 1, rank: 0.5}, "
        "controller: {class_path: mlemo.losses.DynamicWeightAverage, init_args: {temperature: 1}}}"
    ),
    "FocalLoss": "{alpha: [0.5, 1.0, 1.0, 1.0, 1.5], gamma: 1.0, negative_term: false}",
    "AsymmetricLoss": "{gamma_positive: 1.0, gamma_negative: 2, clip: 0.1}",
    "HybridLoss": (
        "{focal: 0.2, ranking: 0, controller: {class_path: mlemo.losses.GradNorm}, class_weights: balanced, "
        "cooccurrence: dataset, negative_term: true, margin: 0.3}"
    ),
    "LabelCorrelationLoss": "{cooccurrence: batch, smoothing: 0.1, confidence: true}",
    "SigmoidF1Loss": "{beta: [1, 2.5], eta: 0.5, learnable: true, classes: 2, skip_absent: true, gather: true}",
    "SmoothConfusionLoss": (
        "{metric: f_beta, average: micro, beta: 2, eta: [0.0, 1.0], f_beta: 0.5, learnable: true, classes: 2, "
        "gather: true}"
    ),
    "SoftMacroF1Loss": "{skip_absent: true, gather: true}",
    "SoftMicroF1Loss": "{gather: true}",
    "UnboundedF1Loss": "{skip_absent: true, gather: true}",
    "WassersteinLoss": "{cost: [[0, 1], [1, 0]], regularization: 0.1, iterations: 5}",
    "WeightedDifferenceLoss": (
        "{order: 1, weighting: fixed, permutation: exact, groups: [[0, 1], [2, 3, 4]], "
        "fixed_weights: [1.0, 2.0, 0.5], adaptive_order: true}"
    ),
}


def build(name: str, arguments: str = "{}") -> Loss:
    parser = ArgumentParser()
    parser.add_subclass_arguments(Loss, "loss")
    config = parser.parse_string(f"loss:\n  class_path: mlemo.losses.{name}\n  init_args: {arguments}\n")
    return parser.instantiate(config).loss


def is_loss(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, Loss) and part is not Loss


@pytest.mark.parametrize(
    "name", [name for name, part in vars(mlemo.losses).items() if name in mlemo.losses.__all__ and is_loss(part)]
)
def test_every_loss_is_built_from_yaml(name: str) -> None:
    assert type(build(name, REQUIRED.get(name, "{}"))) is getattr(mlemo.losses, name)


@pytest.mark.parametrize(("name", "arguments"), CONFIGURATIONS.items())
def test_settings_arrive_from_yaml(name: str, arguments: str) -> None:
    assert type(build(name, arguments)) is getattr(mlemo.losses, name)


def test_settings_of_yaml_have_their_effect() -> None:
    logits, targets, _ = make_batch()
    built = build("WeightedDifferenceLoss", CONFIGURATIONS["WeightedDifferenceLoss"])
    by_hand = WeightedDifferenceLoss(
        1, "fixed", "exact", ((0, 1), (2, 3, 4)), fixed_weights=(1.0, 2.0, 0.5), adaptive_order=True
    )
    assert torch.equal(built(logits, targets), by_hand(logits, targets))
    assert torch.equal(
        build("FocalLoss", "{alpha: 0.25}")(logits, targets),
        FocalLoss(0.25)(logits, targets),
    )


def test_exports() -> None:
    assert mlemo.losses.__all__ == sorted(mlemo.losses.__all__)
    for name in mlemo.losses.__all__:
        assert hasattr(mlemo.losses, name)


def test_every_loss_passes_the_shared_tests() -> None:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("test_"):
            importlib.import_module(f"{__package__}.{module.name}")
    tested = {type(make()) for tester in LossTester.__subclasses__() for make in tester.losses.values()}
    exported = {getattr(mlemo.losses, name) for name in mlemo.losses.__all__}
    losses = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Loss)} - {Loss}
    assert not {kind.__name__ for kind in losses - tested}


def test_losses_are_modules_without_stray_state() -> None:
    # Settings live in the config: they neither enter checkpoints nor make them unreadable.
    for loss in (
        BinaryCrossEntropy([1.0, 2.0]),
        FocalLoss([1.0, 2.0]),
        SigmoidF1Loss([1.0, 2.0], 0.5),
        WassersteinLoss([[0, 1], [1, 0]]),
    ):
        assert isinstance(loss, nn.Module)
        assert not loss.state_dict()
        assert not loss.weight_parameters()
    assert list(WeightedDifferenceLoss(groups=[[0, 1]]).state_dict()) == ["component_weights.raw"]
    assert list(SigmoidF1Loss(learnable=True).state_dict()) == ["beta", "eta"]


def test_a_loss_can_be_copied_after_use() -> None:
    # Averaging of weights copies the model, and with it the loss.
    logits, targets, _ = make_batch()
    loss = WeightedDifferenceLoss()
    loss(logits.requires_grad_(), targets)
    assert torch.equal(copy.deepcopy(loss)(logits, targets), loss(logits, targets))


def test_checked_inputs_are_free_of_what_was_not_annotated() -> None:
    logits = torch.tensor([[1.0, float("nan")]], dtype=torch.float16)
    targets = torch.tensor([[1, 5]])
    logits, targets, mask = check_inputs(logits, targets, torch.tensor([[True, False]]))
    assert torch.equal(logits, torch.tensor([[1.0, 0.0]]))
    assert torch.equal(targets, torch.tensor([[1.0, 0.0]]))
    assert logits.dtype == targets.dtype == torch.float32
    assert mask.tolist() == [[True, False]]


def test_masked_mean_of_nothing_is_zero() -> None:
    assert masked_mean(torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)).item() == 0


def test_class_vector_copies_and_checks() -> None:
    values = torch.tensor([1.0, 2.0])
    vector = class_vector("weights", values)
    values[0] = 9
    assert vector.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"weights must be positive and finite, found \[1\.0, 0\.0\]"):
        class_vector("weights", [1.0, 0.0])
    with pytest.raises(ValueError, match="weights must be positive and finite"):
        class_vector("weights", [float("inf")])
    with pytest.raises(ValueError, match=r"weights must be one number per class, found shape \(1, 2\)"):
        class_vector("weights", torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"found shape \(0,\)"):
        class_vector("weights", [])
