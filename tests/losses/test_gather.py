"""Two processes that join their batches follow the loss and the gradient of one process with the joined batch."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from mlemo.losses import Loss, SigmoidF1Loss, SmoothConfusionLoss, SoftMacroF1Loss, SoftMicroF1Loss, UnboundedF1Loss
from mlemo.losses.gather import gather_batch

from .tester import CLASSES, ROWS, make_batch

FEATURES = 3
LOSSES: dict[str, Callable[[bool], Loss]] = {
    "micro F1": lambda gather: SoftMicroF1Loss(gather=gather),
    "macro F1": lambda gather: SoftMacroF1Loss(gather=gather),
    "macro F1 of present classes": lambda gather: SoftMacroF1Loss(skip_absent=True, gather=gather),
    "sigmoidF1": lambda gather: SigmoidF1Loss(2.0, 0.5, gather=gather),
    "sigmoidF1, learnable": lambda gather: SigmoidF1Loss(2.0, 0.5, learnable=True, gather=gather),
    "sigmoidF1, per class": lambda gather: SigmoidF1Loss(2.0, 0.5, learnable=True, classes=CLASSES, gather=gather),
    "unbounded F1": lambda gather: UnboundedF1Loss(gather=gather),
    "precision": lambda gather: SmoothConfusionLoss("precision", "micro", gather=gather),
}
#: Where the second process begins: even and uneven shares, and no rows for it at all.
CUTS = {"even": ROWS // 2, "uneven": 4, "one-sided": ROWS}


class Network(nn.Module):
    """A linear layer and a loss, which the processes begin with alike."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.linear = nn.Linear(FEATURES, CLASSES, dtype=torch.float64)
        with torch.no_grad():
            self.linear.weight.copy_(torch.randn(CLASSES, FEATURES, generator=generator))
            self.linear.bias.zero_()
        self.loss = loss.double()

    def forward(self, rows: slice) -> Tensor:
        features = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
        _, targets, mask = make_batch(masked=True)
        return self.loss(self.linear(features[rows]), targets[rows], mask[rows])


def outcome(network: nn.Module, rows: slice) -> list[Tensor]:
    """The loss, and the gradient of every parameter."""
    value = network(rows)
    value.backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None for gradient in gradients)
    return [value.detach(), *gradients]  # type: ignore[list-item]


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=30)
    )
    found = {}
    for cut, start in CUTS.items():
        rows = (slice(start), slice(start, ROWS))[rank]
        for name, make in LOSSES.items():
            found[cut, name] = outcome(DistributedDataParallel(Network(make(True))), rows)
            found[cut, name, "apart"] = outcome(DistributedDataParallel(Network(make(False))), rows)
            # without the other process's taking part
            found[cut, name, "evaluation"] = [Network(make(True)).eval()(rows).detach()] if rank == 0 else []
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder: Path = tmp_path_factory.mktemp("processes")
    context = multiprocessing.spawn(process, (str(folder),), nprocs=2, join=False)
    assert context is not None
    while not context.join(timeout=90):  # raises what a process raised; an unanswered message ends one after 30 s
        pass
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_are_those_of_one_process(found: list[dict], name: str, cut: str) -> None:
    expected = outcome(Network(LOSSES[name](False)), slice(ROWS))
    for rank in range(2):
        for value, one in zip(found[rank][cut, name], expected, strict=True):
            torch.testing.assert_close(value, one)


@pytest.mark.parametrize("name", LOSSES)
def test_apart_they_follow_another_objective(found: list[dict], name: str) -> None:
    expected = outcome(Network(LOSSES[name](False)), slice(ROWS))
    gradients = zip(found[0]["uneven", name, "apart"][1:], expected[1:], strict=True)
    assert not any(torch.allclose(gradient, one, rtol=1e-2) for gradient, one in gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_in_evaluation_each_process_judges_its_own_rows(found: list[dict], name: str) -> None:
    own = Network(LOSSES[name](False))(slice(CUTS["uneven"]))
    torch.testing.assert_close(found[0]["uneven", name, "evaluation"][0], own.detach())


def test_one_process_has_nothing_to_gather() -> None:
    batch = make_batch(masked=True)
    assert all(after is before for after, before in zip(gather_batch(*batch), batch, strict=True))
