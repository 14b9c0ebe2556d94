import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adafactor, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, PolynomialLR, StepLR
from transformers import get_cosine_schedule_with_warmup

from mlemo.losses import SigmoidF1Loss
from mlemo.models import C2AE, CLIF, DELA, MPVAE, PACA
from mlemo.models.optimization import JointOptimizer, Optimization


class Network(nn.Module):
    """An encoder and a head, with every kind of parameter that is treated apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
        self.attention = nn.MultiheadAttention(4, 2)
        self.batch_norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)
        self.frozen = nn.Linear(4, 1).requires_grad_(False)
        self.weights = nn.Parameter(torch.zeros(2))  # the loss's

    def forward(self) -> torch.Tensor:
        states = self.encoder(torch.arange(5))
        mixed = self.batch_norm(self.attention(states, states, states)[0])
        return (self.head(mixed).square().mean() * self.weights.softmax(0) * torch.tensor([1.0, 2.0])).sum()


def names(network: nn.Module, group: dict[str, Any]) -> set[str]:
    known = {id(parameter): name for name, parameter in network.named_parameters()}
    return {known[id(parameter)] for parameter in group["params"]}


ENCODER_DECAYED = {"encoder.0.weight", "encoder.1.weight"}
ENCODER_FREE = {"encoder.1.bias", "encoder.2.weight", "encoder.2.bias"}
HEAD_DECAYED = {"attention.in_proj_weight", "attention.out_proj.weight", "head.weight"}
HEAD_FREE = {
    "attention.in_proj_bias",
    "attention.out_proj.bias",
    "batch_norm.weight",
    "batch_norm.bias",
    "head.bias",
}


def groups(network: Network, optimizer: Any) -> dict[tuple[float, float], set[str]]:
    return {(group["lr"], group["weight_decay"]): names(network, group) for group in optimizer.param_groups}


def test_biases_and_normalisations_are_not_decayed() -> None:
    network = Network()
    settings = Optimization(learning_rate=0.1, weight_decay=0.02, warmup=0)
    optimizer, _ = settings.build(network, [], 10)
    assert isinstance(optimizer, AdamW)
    assert groups(network, optimizer) == {
        (0.1, 0.02): ENCODER_DECAYED | HEAD_DECAYED,
        (0.1, 0.0): ENCODER_FREE | HEAD_FREE | {"weights"},
    }
    for group in optimizer.param_groups:
        assert group["betas"] == (0.9, 0.98)
        assert group["eps"] == 1e-8
        assert group["fused"]


def test_what_a_loss_learns_is_not_decayed() -> None:
    network = nn.Module()
    network.head, network.loss = nn.Linear(2, 2, bias=False), SigmoidF1Loss(learnable=True, classes=2)
    optimizer, _ = Optimization(learning_rate=0.1, weight_decay=0.02, warmup=0).build(network, [], 10)
    assert groups(network, optimizer) == {(0.1, 0.02): {"head.weight"}, (0.1, 0.0): {"loss.beta", "loss.eta"}}


FREE = {
    CLIF: {"label_encoder.epsilon"},
    MPVAE: {"probit.factor"},
    PACA: {f"{flow}.{name}" for flow in ("positive", "negative") for name in ("shift", "raw_scale")},
    DELA: set(),
    C2AE: set(),
}


@pytest.mark.parametrize("kind", FREE)
def test_only_weights_of_layers_are_decayed(kind: Any) -> None:
    model = kind(["a", "b", "c"])
    model.build(6, torch.eye(3))
    optimizer, _ = model.optimization.build(model, [], 10)
    (free,) = (names(model, group) for group in optimizer.param_groups if group["weight_decay"] == 0)
    # of one dimension are biases, and the weights of normalisations
    plain = {name for name, value in model.named_parameters() if name.endswith("bias") or ".norms." in name}
    assert free == plain | FREE[kind]


def test_everything_but_the_encoder_may_have_its_own_rate() -> None:
    network = Network()
    settings = Optimization(learning_rate=0.1, head_learning_rate=0.5, weight_decay=0.02, warmup=0)
    optimizer, _ = settings.build(network, [network.weights], 10)
    assert groups(network, optimizer.parts[0]) == {
        (0.1, 0.02): ENCODER_DECAYED,
        (0.1, 0.0): ENCODER_FREE,
        (0.5, 0.02): HEAD_DECAYED,
        (0.5, 0.0): HEAD_FREE,
    }


def test_weights_of_the_loss_alone_are_learnt_by_sgd() -> None:
    network = Network()
    settings = Optimization(loss_learning_rate=0.03, loss_momentum=0.7, warmup=0)
    optimizer, _ = settings.build(network, [network.weights], 10, fused=False)
    assert isinstance(optimizer, JointOptimizer)
    adamw, sgd = optimizer.parts
    assert [type(part) for part in optimizer.parts] == [AdamW, SGD]
    assert names(network, sgd.param_groups[0]) == {"weights"}
    assert (sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"]) == (0.03, 0.7)
    assert sgd.param_groups[0]["weight_decay"] == 0
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert set().union(*(names(network, group) for group in adamw.param_groups)) == trained - {"weights"}
    assert not any(group["fused"] for group in adamw.param_groups)


def test_a_network_without_encoder_is_all_head() -> None:
    network = nn.Linear(2, 1)
    optimizer, _ = Optimization(head_learning_rate=0.5, warmup=0).build(network, [], 10)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


# schedule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"warmup": 0.4}, [0, 0.25, 0.5, 0.75, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0]),
        ({"warmup": 0.4, "schedule": "constant"}, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 1]),
        ({"warmup": 0}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0]),
        ({"warmup": 0.25}, [0, 0.4, 0.8, *[(10 - step) / 7.5 for step in range(3, 10)], 0, 0]),
    ],
)
def test_warmup_and_decay_over_ten_steps(settings: dict, expected: list[float]) -> None:
    optimization = Optimization(**settings)
    assert [optimization.factor(step, 10) for step in range(12)] == pytest.approx(expected)


@pytest.mark.parametrize("warm", [0, 3])
def test_the_cosine_is_that_of_transformers(warm: int) -> None:
    network = nn.Linear(2, 1)
    optimizer, schedule = Optimization(learning_rate=0.5, schedule="cosine", warmup=warm / 10).build(network, [], 10)
    other = AdamW(nn.Linear(2, 1).parameters(), lr=0.5)
    reference = get_cosine_schedule_with_warmup(other, warm, 10)
    for _ in range(11):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(other.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        schedule.step()
        other.step()
        reference.step()


def test_an_optimizer_by_class_gets_the_rates_and_the_decay_of_the_groups() -> None:
    network = Network()
    made = partial(Adafactor, d=2.0)
    settings = Optimization(made, learning_rate=0.1, head_learning_rate=0.5, weight_decay=0.02, warmup=0)
    optimizer, _ = settings.build(network, [network.weights], 10)
    assert [type(part) for part in optimizer.parts] == [Adafactor, SGD]
    assert groups(network, optimizer.parts[0]) == {
        (0.1, 0.02): ENCODER_DECAYED,
        (0.1, 0.0): ENCODER_FREE,
        (0.5, 0.02): HEAD_DECAYED,
        (0.5, 0.0): HEAD_FREE,
    }
    assert all(group["d"] == 2.0 for group in optimizer.parts[0].param_groups)


@pytest.mark.parametrize("learned", [False, True])
def test_a_schedule_by_class_starts_behind_the_warmup(learned: bool) -> None:
    network = Network()
    settings = Optimization(
        learning_rate=0.8, loss_learning_rate=0.03, warmup=0.2, schedule=partial(StepLR, step_size=2, gamma=0.5)
    )
    parameters = [network.weights] if learned else []
    optimizer, schedule = settings.build(network, parameters, 10)
    assert schedule.optimizer is optimizer  # what Lightning checks
    found = []
    for _ in range(8):
        found.append(optimizer.param_groups[0]["lr"])
        if learned:
            assert optimizer.param_groups[-1]["lr"] == 0.03
        network().backward()
        optimizer.step()
        schedule.step()
    assert found == pytest.approx([0, 0.4, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2])
    # resumed: the same rates
    again, restored = settings.build(network, parameters, 10)
    again.load_state_dict(optimizer.state_dict())
    restored.load_state_dict(schedule.state_dict())
    for _ in range(3):
        for each, own in ((optimizer, schedule), (again, restored)):
            each.step()
            own.step()
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("warm", [0, 3])
@pytest.mark.parametrize(
    ("name", "schedule"),
    [("cosine", partial(CosineAnnealingLR, T_max=-1)), ("linear", partial(PolynomialLR, total_iters=-1))],
)
def test_minus_one_stands_for_all_steps_after_the_warmup(name: str, schedule: Any, warm: int) -> None:
    rates = []
    for one in (name, schedule):
        settings = Optimization(learning_rate=0.5, loss_learning_rate=0.03, warmup=warm / 10, schedule=one)
        network = Network()
        optimizer, stepped = settings.build(network, [network.weights], 10)
        rates.append([])
        for _ in range(10):
            rates[-1].append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            stepped.step()
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-12)


@pytest.mark.parametrize("total", [0, 1])
def test_the_shortest_trainings_have_a_rate(total: int) -> None:
    for warmup in (0.0, 0.1, 0.9):
        assert 0 <= Optimization(warmup=warmup).factor(0, total) <= 1


@pytest.mark.parametrize("warmup", [-0.1, 1.0, 10])
def test_warmup_is_a_share(warmup: float) -> None:
    with pytest.raises(ValueError, match=rf"model\.optimization\.warmup is a share .* found {warmup}"):
        Optimization(warmup=warmup)


def test_the_schedule_moves_the_network_and_not_the_weights_of_the_loss() -> None:
    network = Network()
    settings = Optimization(learning_rate=0.1, head_learning_rate=0.5, loss_learning_rate=0.03, warmup=0.4)
    optimizer, schedule = settings.build(network, [network.weights], 10)
    for step in range(10):
        factor = settings.factor(step, 10)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
            [0.1 * factor, 0.1 * factor, 0.5 * factor, 0.5 * factor, 0.03]
        )
        # the parts step with the rates that the schedule has set
        assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == [
            group["lr"] for group in optimizer.param_groups
        ]
        network().backward()
        optimizer.step()
        schedule.step()


# the joint optimizer --------------------------------------------------------------------------------------------


def steps(network: Network, optimizer: Any, number: int) -> None:
    for _ in range(number):
        optimizer.zero_grad()
        network().backward()
        optimizer.step()


def joint(network: Network) -> JointOptimizer:
    first = [
        parameter for name, parameter in network.named_parameters() if name != "weights" and parameter.requires_grad
    ]
    return JointOptimizer([AdamW(first, lr=0.01), SGD([network.weights], lr=0.1, momentum=0.9)])


def assert_same(first: Network, second: Network) -> None:
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_joint_steps_are_the_separate_ones() -> None:
    network = Network()
    alone = copy.deepcopy(network)
    adamw, sgd = joint(alone).parts
    steps(network, joint(network), 5)
    for _ in range(5):
        alone.zero_grad()
        alone().backward()
        adamw.step()
        sgd.step()
    assert_same(network, alone)
    assert not torch.equal(network.weights, Network().weights)
    assert not torch.equal(network.head.weight, Network().head.weight)


def test_state_round_trip_goes_on_as_if_unbroken() -> None:
    unbroken = Network()
    optimizer = joint(unbroken)
    steps(unbroken, optimizer, 3)
    resumed = copy.deepcopy(unbroken)
    state = copy.deepcopy(optimizer.state_dict())
    steps(unbroken, optimizer, 3)

    second = joint(resumed)
    second.load_state_dict(state)
    second.param_groups[0]["lr"] = 0.01  # the groups are still those of the parts
    assert second.param_groups[0] is second.parts[0].param_groups[0]
    steps(resumed, second, 3)
    assert_same(unbroken, resumed)

    fresh = copy.deepcopy(resumed)
    steps(fresh, joint(fresh), 1)
    steps(resumed, second, 1)
    assert not torch.equal(fresh.head.weight, resumed.head.weight), "the state has no effect: the test shows nothing"


def test_state_of_another_number_of_parts_is_refused() -> None:
    optimizer = joint(Network())
    state = optimizer.state_dict()
    state["parts"] = state["parts"][:1]
    with pytest.raises(ValueError, match="the checkpoint holds 1 optimizers, this model has 2"):
        optimizer.load_state_dict(state)


def test_the_closure_runs_once_with_gradients() -> None:
    network = Network()
    optimizer = joint(network)
    calls: list[bool] = []

    def closure() -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = network()
        loss.backward()
        return loss

    expected = network().item()
    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() == pytest.approx(expected)
    assert not torch.equal(network.weights, Network().weights)
    assert optimizer.step() is None


def test_zero_grad_reaches_every_part() -> None:
    network = Network()
    optimizer = joint(network)
    network().backward()
    assert network.weights.grad is not None
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in network.parameters())
