"""Two processes with uneven shares of the rows return the values of one process with all rows."""

import itertools

import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing

from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics

SPACE = LabelSpace(("joy", "anger", "fear", "trust"))
ROWS = 17


def all_rows():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(ROWS, 4, generator=generator) < 0.4
    probabilities = torch.sigmoid(torch.randn(ROWS, 4, generator=generator) + targets)
    mask = torch.rand(ROWS, 4, generator=generator) < 0.8
    return probabilities, targets, probabilities > 0.4, mask


def values_of(metrics):
    return metrics.compute() | {f"{name} per class": value for name, value in metrics.per_class().items()}


def process(rank, store, results):
    """Rows 0-10 and 11-16; then all rows in the first process and none in the second; then each for itself."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    uneven, one_sided = MultiLabelMetrics(SPACE), MultiLabelMetrics(SPACE)
    shares = ([0, 4, 11], [11, 17])[rank]
    for start, end in itertools.pairwise(shares):
        uneven.update(*(part[start:end] for part in all_rows()))
    if rank == 0:
        one_sided.update(*all_rows())
    found = {"uneven": values_of(uneven), "one-sided": values_of(one_sided)}
    # the gathered rows must not stay: a second round would count them twice
    local = sum(len(part) for part in uneven.mask)
    own = MultiLabelMetrics(SPACE, sync_on_compute=False)
    own.update(*(part[shares[0] : shares[-1]] for part in all_rows()))
    found["own rows"] = values_of(own)
    torch.save((found, local), f"{results}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_give_the_values_of_one(tmp_path):
    multiprocessing.spawn(process, (str(tmp_path / "store"), str(tmp_path)), nprocs=2)
    metrics = MultiLabelMetrics(SPACE)
    metrics.update(*all_rows())
    expected = values_of(metrics)
    for rank, (start, end) in enumerate([(0, 11), (11, 17)]):
        found, local = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for case in ("uneven", "one-sided"):
            assert set(found[case]) == set(expected)
            for name, value in expected.items():
                torch.testing.assert_close(found[case][name], value, equal_nan=True, msg=f"{case}, {name}")
        assert local == end - start
        alone = MultiLabelMetrics(SPACE)
        alone.update(*(part[start:end] for part in all_rows()))
        for name, value in values_of(alone).items():
            torch.testing.assert_close(found["own rows"][name], value, equal_nan=True, msg=f"own rows, {name}")
