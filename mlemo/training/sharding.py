"""Training with the weights, gradients and states of the optimizer shared out among processes (FSDP2)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.fsdp import FSDPModule, fully_shard

from mlemo.callbacks import Compile, PromptOrders, Trajectory
from mlemo.models import BertWDL, MultiLabelModel, TransformerClassifier
from mlemo.nn.lora import Lora

__all__ = ["FullySharded", "check_sharded"]

#: Models whose training in shards equals that of `DistributedDataParallel` in the tests.
PROVEN = (TransformerClassifier, BertWDL)
#: Callbacks that compile the encoder, average its weights, or compute with them at times of their own.
UNPROVEN = (Compile, WeightAveraging, Trajectory, PromptOrders)
PRECISIONS = ("32-true",)


class FullySharded(ModelParallelStrategy):
    """FSDP2 for the models of mlemo, by Lightning's strategy: ``--trainer.strategy=fsdp2``.

    Each process holds its share of every weight, gradient and state of the optimizer. The layers of the encoder are
    gathered one at a time, when they compute; what lies outside of them is gathered for the whole step. In validation,
    test and prediction each process holds all weights, as it has batches of its own number. Checkpoints are those of
    one process: the first process gathers the weights and writes one file, which every command reads. `check_sharded`
    refuses what has not been shown to train as in one process.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **kwargs)

    def setup_environment(self) -> None:
        """Start the processes; all of them share out the weights."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: Trainer) -> None:
        """Shard the model, which has all its layers now.

        Raises:
            ValueError: See `check_sharded`.
        """
        model = self._network
        check_sharded(trainer, model)
        if not isinstance(model, FSDPModule):
            model.to(self.root_device)
            for value in (*model.parameters(), *model.buffers()):
                distributed.broadcast(value.data, src=0)  # all begin with the weights of the first process
            mesh = self.device_mesh["data_parallel"]
            for layer in layers(cast(Any, model).encoder):
                fully_shard(layer, mesh=mesh)
            fully_shard(model, mesh=mesh)
            # no step changes logits in place
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        super().setup(trainer)

    def on_validation_start(self) -> None:
        """Gather the weights."""
        self._gather()

    def on_validation_end(self) -> None:
        """Share out the weights again."""
        self._share()

    def on_test_start(self) -> None:
        """Gather the weights."""
        self._gather()

    def on_test_end(self) -> None:
        """Share out the weights again."""
        self._share()

    def on_predict_start(self) -> None:
        """Gather the weights."""
        self._gather()

    def on_predict_end(self) -> None:
        """Share out the weights again."""
        self._share()

    def _gather(self) -> None:
        # processes have different numbers of batches, so that no batch may gather weights from the others
        for part in self._parts():
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()

    def _share(self) -> None:
        for part in self._parts():
            part.set_reshard_after_forward(part is not self.lightning_module, recurse=False)
            part.reshard()

    @property
    def _network(self) -> MultiLabelModel:
        return cast(MultiLabelModel, self.lightning_module)

    def _parts(self) -> list[FSDPModule]:
        return [module for module in self._network.modules() if isinstance(module, FSDPModule)]

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: _PATH, storage_options: Any | None = None) -> None:
        """Write the checkpoint under the name of the model's own class, which sharding has replaced by a subclass."""
        kind = next(kind for kind in type(self.lightning_module).__mro__ if kind.__module__.split(".")[0] != "torch")
        checkpoint["model_class"] = f"{kind.__module__}.{kind.__qualname__}"
        super().save_checkpoint(checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: _PATH, weights_only: bool | None = None) -> dict[str, Any]:
        """The content of a checkpoint, in every process; its weights are loaded by `load_model_state_dict`."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Give each process its share of the weights."""
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self._network, checkpoint["state_dict"], options=options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse to continue a training, whose optimizer would lose its state.

        Raises:
            ValueError: Always.
        """
        check_sharded(self._network.trainer, self._network, resumed=True)


def layers(encoder: nn.Module) -> list[nn.Module]:
    """The layers that transformers keeps together."""
    whole = set(getattr(encoder, "_no_split_modules", None) or ())
    return [module for module in encoder.modules() if type(module).__name__ in whole]


def check_sharded(trainer: Trainer, model: MultiLabelModel, resumed: bool = False) -> None:
    """Refuse what has not been shown to train in shards as in one process.

    Args:
        trainer: A trainer; one with another strategy is let pass.
        model: What it is to train or to score.
        resumed: Whether a training is to continue from a checkpoint.

    Raises:
        ValueError: The model, its loss, a callback or the precision is none of those that were shown to, or a training
            is resumed.
    """
    if not isinstance(trainer.strategy, FullySharded):
        return
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it without declaring it
    unproven = [type(callback).__name__ for callback in callbacks if isinstance(callback, UNPROVEN)]
    names = " or ".join(kind.__name__ for kind in PROVEN)
    refused = {
        f"{type(model).__name__} (only {names})": not isinstance(model, PROVEN),
        f"{type(model.loss).__name__} with learned weights": bool(model.loss.weight_parameters()),
        "adapters (Lora)": isinstance(getattr(model, "source", None), Lora),
        f"with {', '.join(unproven)}": bool(unproven),
        f"in precision {trainer.precision} (only {' or '.join(PRECISIONS)})": trainer.precision not in PRECISIONS,
        "on from a checkpoint": resumed,
    }
    for what, is_refused in refused.items():
        if is_refused:
            raise ValueError(f"trainer.strategy fsdp2 has not been shown to train {what}; use ddp")


StrategyRegistry.register("fsdp2", FullySharded, description="weights shared out among processes (FSDP2)")
