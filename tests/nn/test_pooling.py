import pytest
import torch

from mlemo.nn.pooling import pool

STATES = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1] * 7, [1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])


def by_loops(how: str) -> torch.Tensor:
    result = torch.empty(4, 3, dtype=torch.float64)
    for row in range(4):
        tokens = [place for place in range(7) if MASK[row, place]]
        for column in range(3):
            values = [float(STATES[row, place, column]) for place in tokens]
            result[row, column] = {
                "mean": sum(values) / len(values),
                "max": max(values),
                "cls": values[0],
                "last": values[-1],
            }[how]
    return result


@pytest.mark.parametrize("how", ["mean", "max", "cls", "last"])
def test_pooling_by_loops(how: str) -> None:
    torch.testing.assert_close(pool(STATES, MASK, how).double(), by_loops(how), atol=1e-6, rtol=0)


def test_the_last_token_is_found_on_whichever_side_the_padding_is() -> None:
    flipped = pool(STATES.flip(1), MASK.flip(1), "last")
    torch.testing.assert_close(flipped, STATES[:, 0])


@pytest.mark.parametrize("how", ["mean", "max", "cls", "last"])
def test_padding_does_not_enter_and_gets_no_gradient(how: str) -> None:
    spoilt = STATES.masked_fill(MASK[..., None] == 0, 1e4).requires_grad_()
    pooled = pool(spoilt, MASK, how)
    torch.testing.assert_close(pooled, pool(STATES, MASK, how))
    pooled.sum().backward()
    assert not spoilt.grad[MASK == 0].any()
    assert spoilt.grad[MASK == 1].any()


@pytest.mark.parametrize("how", ["mean", "max", "cls", "last"])
def test_a_row_without_tokens_stays_finite(how: str) -> None:
    assert pool(STATES, torch.zeros_like(MASK), how).isfinite().all()


def test_half_precision_stays_half() -> None:
    assert pool(STATES.bfloat16(), MASK, "max").dtype == torch.bfloat16
    torch.testing.assert_close(pool(STATES.bfloat16(), MASK, "mean").double(), by_loops("mean"), atol=0.02, rtol=0)
