import pytest
import torch
from torch.nn import functional as F

from mlemo.losses.weighting import ComponentWeights, Weighting


def descend(weights: ComponentWeights, losses: list[float], steps: int, rate: float = 0.01) -> list[list[float]]:
    """Train the weights alone, against losses that stay as they are."""
    values = torch.tensor(losses)
    present = torch.ones(len(losses), dtype=torch.bool)
    optimizer = torch.optim.SGD(weights.parameters(), lr=rate, momentum=0.9)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        ((weights() * values).sum() + weights.penalty(present)).backward()
        optimizer.step()
        history.append(weights().tolist())
    return history


def test_the_weights_at_the_start() -> None:
    assert ComponentWeights(3, "fixed")().tolist() == [1, 1, 1]
    assert ComponentWeights(3, "fixed", [2.0, 0.0, 0.5])().tolist() == [2, 0, 0.5]
    assert ComponentWeights(4, "softmax")().tolist() == [0.25] * 4
    assert ComponentWeights(4, "uncertainty")().tolist() == [1] * 4
    assert ComponentWeights(4, "monotone")().tolist() == pytest.approx([1, 1.5, 1, 0.5])


def test_the_formulas() -> None:
    raw = [0.3, -1.2, 2.0]
    expected_weights: dict[Weighting, list[float]] = {
        "softmax": torch.softmax(torch.tensor(raw), 0).tolist(),
        "uncertainty": torch.exp(-torch.tensor(raw)).tolist(),
    }
    for weighting, expected in expected_weights.items():
        weights = ComponentWeights(3, weighting)
        weights.raw.data = torch.tensor(raw)
        assert weights().tolist() == pytest.approx(expected)
    weights = ComponentWeights(4, "monotone")
    weights.raw.data = torch.tensor(raw)
    a, b, c = F.softplus(torch.tensor(raw)).tolist()
    steps = [a + b + c, b + c, c]
    assert weights().tolist() == pytest.approx([1, *(3 * step / sum(steps) for step in steps)])


def test_the_penalty() -> None:
    present = torch.tensor([True, False, True])
    unpenalised: tuple[Weighting, ...] = ("fixed", "softmax", "monotone")
    for weighting in unpenalised:
        assert ComponentWeights(3, weighting).penalty(present).item() == 0
    weights = ComponentWeights(3, "uncertainty")
    weights.raw.data = torch.tensor([1.0, 50.0, -3.0])
    assert weights.penalty(present).item() == pytest.approx(-2.0, rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_monotone_weights_are_monotone_and_keep_their_sum(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = ComponentWeights(5, "monotone")
    for scale in (0.1, 1.0, 10.0):
        weights.raw.data = scale * torch.randn(4, generator=generator)
        anchor, *others = weights().tolist()
        assert anchor == 1
        assert others == sorted(others, reverse=True)
        assert others[-1] >= 0
        assert others[0] >= 1
        assert sum(others) == pytest.approx(4)


LOSSES = [0.5, 0.02, 0.04, 0.12]  # cross-entropy, ratios, differences: in the proportion in which they really come


def test_softmax_weights_collapse() -> None:
    history = descend(ComponentWeights(4, "softmax"), LOSSES, steps=1500)
    assert history[0][0] == pytest.approx(0.25, abs=0.01)
    assert history[-1][0] < 0.01  # the labels are forgotten


def test_monotone_weights_do_not_collapse() -> None:
    history = descend(ComponentWeights(4, "monotone"), LOSSES, steps=1500)
    assert all(step[0] == 1 for step in history)
    assert all(sum(step[1:]) == pytest.approx(3, rel=1e-4) for step in history)
    # They redistribute, towards the orders of lower loss.
    assert history[-1][1] > history[0][1]
    assert history[-1][3] < history[0][3]


def test_uncertainty_weights_settle_at_the_inverse_of_the_losses() -> None:
    history = descend(ComponentWeights(4, "uncertainty"), LOSSES, steps=1500)
    assert history[-1] == pytest.approx([1 / loss for loss in LOSSES], rel=0.01)


def test_the_weight_of_a_loss_of_zero_is_bounded() -> None:
    history = descend(ComponentWeights(2, "uncertainty"), [0.5, 0.0], steps=1500)
    assert max(step[1] for step in history) < 2e6
    assert history[-1][1] == pytest.approx(1e6, rel=0.01)


def test_a_component_without_entries_does_not_move_its_weight() -> None:
    weights = ComponentWeights(2, "uncertainty")
    weights.penalty(torch.tensor([True, False])).backward()
    assert weights.raw.grad is not None
    assert weights.raw.grad[1] == 0
    assert weights.raw.grad[0] > 0


@pytest.mark.parametrize("weighting", ["softmax", "monotone", "uncertainty"])
def test_low_precision_parameters_give_float32_weights(weighting: Weighting) -> None:
    weights = ComponentWeights(3, weighting).to(torch.bfloat16)
    assert weights().dtype == torch.float32


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="must be one of fixed, softmax, monotone, uncertainty, found 'learned'"):
        ComponentWeights(2, "learned")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"fixed weights must be 3 non-negative numbers, found \[1\.0\]"):
        ComponentWeights(3, "fixed", [1.0])
    with pytest.raises(ValueError, match=r"fixed weights must be 2 non-negative numbers, found \[1\.0, -1\.0\]"):
        ComponentWeights(2, "fixed", [1.0, -1.0])
    with pytest.raises(ValueError, match="fixed weights need weighting='fixed', found weighting='softmax'"):
        ComponentWeights(2, "softmax", [1.0, 1.0])
