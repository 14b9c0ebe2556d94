"""The loader of training batches, whose place in an epoch is saved and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import DataLoader

from mlemo.batch import Batch

__all__ = ["ResumableLoader", "TrainingSampler", "as_is"]


class TrainingSampler(Protocol):
    """A batch sampler that can be resumed: all samplers of ``mlemo.samplers``."""

    def __iter__(self) -> Iterator[list[int]]: ...

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose batches the next iteration takes."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the following batches depend on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


class ResumableLoader(DataLoader[Batch]):
    """A loader whose place in the epoch is saved in Lightning's checkpoints: that of its batch sampler.

    Batches are made in the training process (a gather takes well under a millisecond), so no worker runs ahead and
    the batches drawn are the batches trained on.
    """

    def state_dict(self) -> dict[str, Any]:
        """Place of the sampler."""
        return self.batch_sampler.state_dict()  # type: ignore[union-attr]  # a sampler of mlemo.samplers

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a place."""
        self.batch_sampler.load_state_dict(state)  # type: ignore[union-attr]  # a sampler of mlemo.samplers

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # DataLoader is typed with its private iterator
        return super().__iter__()


def as_is(batch: Any) -> Any:
    """The batch: a dataset of mlemo makes it whole."""
    return batch
