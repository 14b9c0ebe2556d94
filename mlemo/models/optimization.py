"""An optimizer for the network, SGD for the weights of the loss, one schedule: as one optimizer for Lightning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, SequentialLR

#: Makes a schedule for an optimizer, as Lightning's command line does from a class and its arguments.
ScheduleCallable = Callable[[Optimizer], LRScheduler]

#: Arguments of schedules that count steps; -1 stands for all steps after the warm-up.
LENGTHS = ("T_max", "total_iters", "total_steps")

__all__ = ["JointOptimizer", "Optimization"]


class JointOptimizer(Optimizer):
    """Several optimizers over different parameters that step together.

    To Lightning this is one optimizer, so that gradient accumulation, clipping, mixed precision and the count of steps
    work as usual; with two optimizers they would all have to be written by hand.

    Args:
        optimizers: The parts; no parameter belongs to two of them.
    """

    def __init__(self, optimizers: Iterable[Optimizer]) -> None:
        self.parts = list(optimizers)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        # the very group dicts of the parts, so that a scheduler that sets `lr` here sets it there
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]  # torch overloads it
        """Step every part; the closure runs once, before them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """State of every part, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore every part.

        Raises:
            ValueError: The state has another number of parts.
        """
        states = state_dict["parts"]
        if len(states) != len(self.parts):
            raise ValueError(f"the checkpoint holds {len(states)} optimizers, this model has {len(self.parts)}")
        for part, state in zip(self.parts, states):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


class PartSchedule(LRScheduler):
    """The schedule of one part of a `JointOptimizer`, as a schedule of the whole; the rates of other parts stay.

    Args:
        schedule: The schedule of the part.
        optimizer: The whole.
    """

    def __init__(self, schedule: LRScheduler, optimizer: Optimizer) -> None:
        self.schedule, self.optimizer = schedule, optimizer

    def step(self, epoch: int | None = None) -> None:
        """Step the schedule of the part."""
        self.schedule.step()

    def get_last_lr(self) -> list[float | Tensor]:
        """Rates of the part's groups."""
        return self.schedule.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """State of the schedule of the part."""
        return self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the schedule of the part."""
        self.schedule.load_state_dict(state_dict)


@dataclass
class Optimization:
    """How a network is trained: Table 2 of Hu et al. (2025) unless set otherwise.

    Args:
        optimizer: ``adamw``, or what older systems were published with: ``adam``, ``rmsprop``; or any class with its
            arguments, such as ``torch.optim.Adafactor`` or ``transformers.Adafactor``. Rates and decay are those below.
        learning_rate: Peak rate.
        weight_decay: Decoupled decay with AdamW, an L2 penalty with the others; on weights of layers alone: not on
            biases, normalisation, what has fewer than two dimensions (a slope, an ε), and the parameters that a module
            names in ``undecayed``.
        beta1: Decay of the first moment (AdamW and Adam).
        beta2: Decay of the second moment; RMSprop's smoothing constant.
        epsilon: The optimizer's ε.
        warmup: Share of all steps in which the rate rises linearly from 0.
        schedule: After the warm-up: fall linearly to 0, fall to 0 along half a cosine, or stay; or any class of
            ``torch.optim.lr_scheduler`` with its arguments, which is stepped once per optimizer step; -1 as ``T_max``,
            ``total_iters`` or ``total_steps`` stands for all steps after the warm-up.
        head_learning_rate: Peak rate of everything but the encoder; ``None`` for the same rate.
        loss_learning_rate: Rate of the SGD that learns the weights of the loss's components (constant).
        loss_momentum: Its momentum.
    """

    optimizer: Literal["adamw", "adam", "rmsprop"] | OptimizerCallable = "adamw"
    learning_rate: float = 3e-5
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    warmup: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] | ScheduleCallable = "linear"
    head_learning_rate: float | None = None
    loss_learning_rate: float = 0.01
    loss_momentum: float = 0.9

    def __post_init__(self) -> None:
        for name in ("learning_rate", "head_learning_rate", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"model.optimization.{name} must be at least 0, found {value}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"model.optimization.warmup is a share of all steps in [0, 1), found {self.warmup}")

    def factor(self, step: int, total: int) -> float:
        """Learning rate at ``step`` of ``total``, as a share of the peak; without a schedule by class."""
        warm = self.warmup * total
        if step < warm:
            return step / warm
        if self.schedule not in ("linear", "cosine"):
            return 1.0
        left = max(0.0, (total - step) / max(1.0, total - warm))
        return left if self.schedule == "linear" else 0.5 * (1.0 - math.cos(math.pi * left))

    def build(
        self, model: nn.Module, loss_parameters: list[nn.Parameter], total_steps: int, fused: bool = True
    ) -> tuple[Optimizer, LRScheduler]:
        """Optimizer and schedule for a model.

        Args:
            model: The network, with its encoder (if any) as ``model.encoder``.
            loss_parameters: Parameters that SGD learns; they may be parameters of ``model`` too.
            total_steps: Optimizer steps of the whole training.
            fused: Use the fused AdamW or Adam.

        Returns:
            The optimizer (a ``JointOptimizer`` where the loss has parameters) and a schedule to be stepped each step.
        """
        learnt_by_sgd = {id(parameter) for parameter in loss_parameters}
        undecayed = {
            id(parameter)
            for module in model.modules()
            for name, parameter in module.named_parameters(recurse=False)
            if parameter.ndim < 2 or name.endswith("bias") or name in getattr(module, "undecayed", ())
        }
        encoder = getattr(model, "encoder", None)
        in_encoder = {id(p) for p in encoder.parameters()} if isinstance(encoder, nn.Module) else set()
        head_rate = self.learning_rate if self.head_learning_rate is None else self.head_learning_rate
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad and id(parameter) not in learnt_by_sgd:
                rate = self.learning_rate if id(parameter) in in_encoder else head_rate
                decay = 0.0 if id(parameter) in undecayed else self.weight_decay
                groups.setdefault((rate, decay), []).append(parameter)
        decayed = [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
        optimizer: Optimizer
        if callable(self.optimizer):
            optimizer = self.optimizer(decayed)
        elif self.optimizer == "rmsprop":
            optimizer = RMSprop(decayed, alpha=self.beta2, eps=self.epsilon)
        else:
            kind = AdamW if self.optimizer == "adamw" else Adam
            optimizer = kind(decayed, betas=(self.beta1, self.beta2), eps=self.epsilon, fused=fused)
        scheduled = [lambda step: self.factor(step, total_steps)] * len(groups)
        by_class = self._schedule_by_class(optimizer, total_steps) if callable(self.schedule) else None
        if not loss_parameters:
            return optimizer, by_class or LambdaLR(optimizer, scheduled)
        sgd = SGD(loss_parameters, lr=self.loss_learning_rate, momentum=self.loss_momentum)
        joint = JointOptimizer([optimizer, sgd])
        if by_class is not None:
            return joint, PartSchedule(by_class, joint)
        return joint, LambdaLR(joint, [*scheduled, lambda step: 1.0])

    def _schedule_by_class(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        """The schedule that was given as a class, behind the warm-up."""
        warm = math.ceil(self.warmup * total_steps)
        make: Any = self.schedule
        if isinstance(make, partial):
            left = max(1, total_steps - warm)
            make = partial(make, **{name: left for name in LENGTHS if make.keywords.get(name) == -1})
        after: LRScheduler = make(optimizer)
        if not warm:
            return after
        before = LambdaLR(optimizer, lambda step: step / warm)
        return SequentialLR(optimizer, [before, after], milestones=[warm])
