"""Two processes compute the rows that one computes, each its share."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

import mlemo.models.gthl_emo
import mlemo.nn.memory_graph
from mlemo.data import SyntheticEmotions
from mlemo.models import GTHLEmo
from mlemo.nn.encoder import FromScratch
from mlemo.nn.graph_network import GraphNetwork
from mlemo.nn.memory_graph import memory_states
from mlemo.nn.shares import in_shares

PART = 4


def doubled(rows: int, calls: list[int]) -> Tensor:
    def compute(part: Tensor) -> Tensor:
        calls.append(int(part[0]))
        return torch.stack([2.0 * part, part / 3], 1)

    return in_shares(torch.arange(rows).split(PART), compute)


def states(rows: int = 18) -> Tensor:
    torch.manual_seed(0)
    network = GraphNetwork(6, "sage", 3, dropout=0.0)
    with torch.no_grad():
        return memory_states(network, torch.randn(rows, 6), neighbors=3)


def remembered(encoded: list[int]) -> dict[str, Tensor]:
    """The memory of 22 of 30 texts."""
    data = SyntheticEmotions(size=30, val_size=5, test_size=5)
    data.setup("fit")
    torch.manual_seed(0)
    encoder = FromScratch(layers=1, width=32, heads=2, vocabulary=200, max_positions=64)
    model = GTHLEmo(data.label_space, encoder, label_heads=2, memory_rows=22)
    model.build(lambda: data.corpus("train").texts)
    model.eval()
    run: Any = SimpleNamespace(datamodule=data, precision_plugin=SimpleNamespace(forward_context=nullcontext))
    model._trainer = run
    embed = model._embed
    model._embed = lambda batch: encoded.append(len(batch["index"])) or embed(batch)  # type: ignore[method-assign,func-returns-value]
    model.remember()
    assert model.memory is not None
    return model.memory.state_dict()


def work() -> dict[str, Any]:
    mlemo.nn.memory_graph.PART = mlemo.models.gthl_emo.PART = PART
    found: dict[str, Any] = {f"rows {rows}": doubled(rows, []) for rows in (3, 9, 18)}
    calls: list[int] = []
    encoded: list[int] = []
    return found | {"last": doubled(18, calls), "calls": calls, "states": states()} | {
        "memory": remembered(encoded), "encoded": sum(encoded)
    }  # fmt: skip


def process(rank: int, processes: int, folder: str) -> None:
    torch.set_num_threads(1)
    address = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=processes)
    torch.save(work(), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_processes_share_the_rows_and_all_know_them_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = 2
    for module in (mlemo.nn.memory_graph, mlemo.models.gthl_emo):
        monkeypatch.setattr(module, "PART", PART)  # put back after the test, as `work` sets it
    expected = work()
    assert torch.equal(expected["rows 9"], torch.stack([2.0 * torch.arange(9), torch.arange(9) / 3], 1))
    assert expected["encoded"] == 22
    multiprocessing.spawn(process, (processes, str(tmp_path)), nprocs=processes)
    firsts = range(0, 18, PART)  # of five parts
    encoded = []
    for rank in range(processes):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name in ("rows 3", "rows 9", "rows 18", "last", "states"):
            assert torch.equal(found[name], expected[name]), (rank, name)
        for name, tensor in expected["memory"].items():
            assert torch.equal(found["memory"][name], tensor), (rank, name)
        turns = -(-len(firsts) // processes)
        own = list(firsts[rank::processes])
        assert found["calls"] == own + [firsts[-1]] * (turns - len(own))
        encoded.append(found["encoded"])
    assert max(encoded) <= turns * PART + PART  # of 22 texts in six parts


def former_states(network: GraphNetwork, embeddings: Tensor, neighbors: int, threshold: float | None) -> Tensor:
    """The states from the whole matrix of similarities, one text after another."""
    unit = torch.nn.functional.normalize(embeddings.half().float(), dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-torch.inf)
    found = [embeddings]
    for layer in range(len(network.convolutions) - 1):
        rows = []
        for row, similarity in enumerate(cosines):
            near = similarity.topk(neighbors).indices
            near = near if threshold is None else near[similarity[near] >= threshold]
            edges = torch.stack([1 + torch.arange(len(near)), torch.zeros(len(near), dtype=torch.long)])
            nodes = torch.cat([found[-1][row : row + 1], found[-1][near]])
            rows.append(network.layer(layer, nodes, edges, torch.ones(len(near)))[:1])
        found.append(torch.cat(rows))
    return torch.stack(found)


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_states_of_several_parts_are_those_of_the_whole_matrix_of_similarities(threshold: float | None) -> None:
    torch.manual_seed(1)
    network, embeddings = GraphNetwork(6, "sage", 3, dropout=0.0), torch.randn(150, 6)
    with torch.no_grad():
        found = memory_states(network, embeddings, 4, threshold)
        torch.testing.assert_close(found, former_states(network, embeddings, 4, threshold))
