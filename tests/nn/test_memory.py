import math

import pytest
import torch
from torch import Tensor

from mlemo.nn import memory as module
from mlemo.nn.memory import Memory

WIDTH, ROWS = 6, 11


@pytest.fixture
def states() -> Tensor:
    # numbers that half precision holds, so that a loop in Python sees the same ones
    return torch.randn(2, ROWS, WIDTH, generator=torch.Generator().manual_seed(0)).half().float()


@pytest.fixture
def memory(states: Tensor) -> Memory:
    return Memory(states, torch.arange(100, 100 + ROWS))


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@pytest.mark.parametrize("block", [1, 3 * ROWS, 2**26])
@pytest.mark.parametrize("excluding", [False, True])
def test_the_nearest_by_a_loop(
    block: int, excluding: bool, memory: Memory, states: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    asked = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
    exclude = torch.tensor([3, 0, 10, -1, 4]) if excluding else None
    similarity, places = memory.nearest(asked, 4, exclude)
    for row in range(5):
        cosines = [cosine(asked[row].tolist(), state) for state in states[0].tolist()]
        allowed = [place for place in range(ROWS) if exclude is None or place != exclude[row]]
        expected = sorted(allowed, key=lambda place: -cosines[place])[:4]
        assert places[row].tolist() == expected
        assert similarity[row].tolist() == pytest.approx([cosines[place] for place in expected], abs=1e-6)


def test_a_memory_finds_its_own_texts(memory: Memory, states: Tensor) -> None:
    similarity, places = memory.nearest(states[0], 1)
    assert places.flatten().tolist() == list(range(ROWS))
    assert similarity.flatten().tolist() == pytest.approx([1.0] * ROWS)
    assert memory.rows[places[3]].item() == 103


def test_no_more_are_found_than_there_are(memory: Memory, states: Tensor) -> None:
    assert memory.nearest(states[0], 50)[1].shape == (ROWS, ROWS)
    everyone = torch.arange(ROWS)
    similarity, places = memory.nearest(states[0], 50, exclude=everyone)
    assert places.shape == (ROWS, ROWS - 1)
    assert similarity.isfinite().all()
    assert (places != everyone[:, None]).all()
    alone = Memory(states[:, :1], torch.tensor([0]))
    assert alone.nearest(states[0, :1], 5, exclude=torch.tensor([0]))[1].shape == (1, 0)


def test_neighbours_are_the_same_alone_in_any_batch_and_under_mixed_precision(memory: Memory) -> None:
    asked = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(2))
    similarity, places = memory.nearest(asked, 3)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    assert torch.equal(memory.nearest(asked[order], 3)[1], places[order])
    assert torch.equal(torch.cat([memory.nearest(row[None], 3)[1] for row in asked]), places)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(memory.nearest(asked, 3)[0], similarity)


def test_it_is_kept_in_half_precision_and_restored(memory: Memory, states: Tensor) -> None:
    saved = memory.state_dict()
    assert saved["states"].dtype == torch.float16
    # what the docstring states: 2 bytes for each of layers · texts · width
    assert saved["states"].numel() * saved["states"].element_size() == 2 * 2 * ROWS * WIDTH
    restored = Memory(**saved)
    assert len(restored) == ROWS
    assert restored.rows.tolist() == memory.rows.tolist()
    assert torch.equal(restored.nearest(states[0] + 0.1, 4)[0], memory.nearest(states[0] + 0.1, 4)[0])
    assert memory.to(torch.device("cpu")) is memory


def test_states_and_rows_must_go_together(states: Tensor) -> None:
    with pytest.raises(ValueError, match=r"memory of 3 rows has states \(layers, rows, d\), found \(2, 11, 6\)"):
        Memory(states, torch.arange(3))
    with pytest.raises(ValueError, match=r"found \(11, 6\)"):
        Memory(states[0], torch.arange(11))
    with pytest.raises(ValueError, match=r"memory of 11 rows has labels \(rows, C\), found \(3, 2\)"):
        Memory(states, torch.arange(ROWS), torch.ones(3, 2, dtype=torch.bool))


def test_places_are_found_by_row(states: Tensor) -> None:
    rows = torch.tensor([8, 2, 5, 40, 0, 1, 30, 3, 4, 6, 7])
    memory = Memory(states, rows)
    asked = [40, 2, 9, 100, 0, 41, 29]
    expected = [rows.tolist().index(row) if row in rows else -1 for row in asked]
    assert memory.places(torch.tensor(asked)).tolist() == expected


def test_labels_are_kept_with_the_states(states: Tensor) -> None:
    labels = torch.rand(ROWS, 4, generator=torch.Generator().manual_seed(5)) < 0.5
    saved = Memory(states, torch.arange(ROWS), labels).state_dict()
    assert torch.equal(Memory(**saved).labels, labels)
    assert Memory(states, torch.arange(ROWS)).state_dict().keys() == {"states", "rows"}
