"""What every loss has in common: the call, the checks of its inputs, and the mean over the annotated entries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mlemo.losses.gather import gather_batch
from mlemo.utils.serialization import Recorded

__all__ = [
    "BatchLoss",
    "ElementwiseLoss",
    "Loss",
    "MultiTermLoss",
    "SamplewiseLoss",
    "check_inputs",
    "check_targets",
    "class_vector",
    "masked_mean",
]


class Loss(Recorded, nn.Module, ABC):
    """A scalar objective for multi-label classification: ``loss(logits, targets, mask=None, **context)``.

    Every loss averages (it never sums), computes in float32 or wider whatever the precision of the logits, is finite
    with finite gradients for logits up to 100 in absolute value, and ignores the entries that are not annotated.
    Other information about the batch is passed as keyword arguments; a loss uses those that it names and ignores
    the others, so that any loss can replace another one.

    Attributes:
        batchwise: Whether the loss of a batch is something else than the mean over its samples, so that cutting the
            batch into parts (gradient accumulation, several processes) changes the objective; see `BatchLoss`.
        copies: How often each sample is to be in a training batch, each time with its own dropout; see `RDropLoss`.
    """

    batchwise: ClassVar[bool] = False
    copies: ClassVar[int] = 1

    @abstractmethod
    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The loss of a batch.

        Args:
            logits: Raw scores, ``(N, C)`` floating point.
            targets: ``(N, C)`` in [0, 1]: 1 = the label applies; values in between are soft targets.
            mask: ``(N, C)`` bool, ``False`` where a label was not annotated; ``None`` = all are.
            context: Further tensors of the batch, by name.

        Returns:
            Scalar, float32 (float64 for float64 logits); 0, with a gradient of zero, where nothing is annotated.

        Raises:
            ValueError: Shapes that do not fit, a mask that is not bool, or, on the CPU, annotated targets that are NaN
                or outside [0, 1]. An accelerator would have to be waited for; the labels of a corpus are checked when
                it is read (`mlemo.data.Corpus`).
        """

    def per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor | None:
        """The loss of each sample as that of a batch of its own, ``(N,)``; arguments as in `forward`.

        Where all is annotated, the loss of a batch is their mean. 0 for a sample without an annotated label; ``None``
        where the loss judges a batch as a whole, or does not say.
        """
        return None

    def bind(self, classes: int) -> None:
        """Make what depends on the number of classes; a model calls this when it is made."""

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """Look at the labels of the training split, ``(N, C)`` and their mask, before training starts."""

    def start_epoch(self) -> None:
        """Begin a training epoch; not called again where training resumes within an epoch."""

    def weight_parameters(self) -> list[nn.Parameter]:
        """Learnable weights between the components of the loss, which a model may give an optimizer of their own."""
        return []


class ElementwiseLoss(Loss):
    """A loss that is the mean, over the annotated entries, of one value per sample and label."""

    @abstractmethod
    def _elementwise(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Value of every entry, ``(N, C)``, from checked inputs in computing precision."""

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """Mean of `elementwise` over the annotated entries; see `Loss.forward`."""
        logits, targets, mask = check_inputs(logits, targets, mask)
        return masked_mean(self._elementwise(logits, targets), mask)

    def elementwise(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """The loss of every entry, before averaging.

        Args:
            logits: ``(N, C)``, see `Loss.forward`; so are ``targets`` and ``mask``.
            targets: ``(N, C)``.
            mask: ``(N, C)``.

        Returns:
            ``(N, C)``; 0 where the mask is ``False``.

        Raises:
            ValueError: See `Loss.forward`.
        """
        logits, targets, mask = check_inputs(logits, targets, mask)
        return self._elementwise(logits, targets) * mask

    def per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """Mean of `elementwise` over the annotated labels of each sample; see `Loss.per_sample`."""
        logits, targets, mask = check_inputs(logits, targets, mask)
        return (self._elementwise(logits, targets) * mask).sum(1) / mask.sum(1).clamp(min=1)


class SamplewiseLoss(Loss):
    """A loss that is the mean, over the samples that have an annotated label, of one value per sample."""

    @abstractmethod
    def _per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Value of every sample, ``(N,)``, from checked inputs in computing precision; 0 where nothing is annotated."""

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The mean over the samples that have an annotated label; see `Loss.forward`."""
        return self.compute(*check_inputs(logits, targets, mask))

    def compute(self, logits: Tensor, targets: Tensor, mask: Tensor, **context: Any) -> Tensor:
        """`forward` of inputs that `check_inputs` has returned."""
        return masked_mean(self._per_sample(logits, targets, mask), mask.any(1))

    def per_sample(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """See `Loss.per_sample`."""
        return self._per_sample(*check_inputs(logits, targets, mask))


class BatchLoss(Loss):
    """A loss of the batch as a whole, such as one of counts over its samples, and no mean over samples.

    It judges the samples that it is given together. Under gradient accumulation these are one micro-batch: a step
    follows the mean of the losses of its micro-batches, which is not the loss of all their samples. Under several
    processes they are the share of one process, unless ``gather`` is set: then all processes compute the loss of the
    joined batch, and the gradient that `torch.nn.parallel.DistributedDataParallel` averages over them is that of one
    process with the joined batch. Gathering is for training; in evaluation mode, where processes may hold different
    numbers of batches, each of them judges its own.

    Args:
        gather: Whether the processes (if there are several) join their batches.
    """

    batchwise: ClassVar[bool] = True

    def __init__(self, gather: bool = False) -> None:
        super().__init__()
        self.gather = gather

    @abstractmethod
    def _batch_loss(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """The loss, a scalar, from checked inputs in computing precision."""

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any) -> Tensor:
        """The loss of the batch, or of the joined batch of all processes; see `Loss.forward`."""
        logits, targets, mask = check_inputs(logits, targets, mask)
        if self.gather and self.training:
            logits, targets, mask = gather_batch(logits, targets, mask)
        return self._batch_loss(logits, targets, mask)


class MultiTermLoss(Loss):
    """A loss that is a weighted sum of named components.

    `components` and `weights` have the same keys. ``last_components`` holds the detached components of the latest
    call of `forward`, so that they can be logged at no cost.
    """

    def __init__(self) -> None:
        super().__init__()
        self.terms = nn.ModuleDict()  #: components that are losses of their own, by name
        self.last_components: dict[str, Tensor] = {}

    def bind(self, classes: int) -> None:
        """Tell every term."""
        for term in self.terms.values():
            term.bind(classes)  # type: ignore[operator]  # every term is a Loss

    def observe(self, targets: Tensor, mask: Tensor) -> None:
        """Tell every term."""
        for term in self.terms.values():
            term.observe(targets, mask)  # type: ignore[operator]  # every term is a Loss

    @abstractmethod
    def components(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, **context: Any
    ) -> dict[str, Tensor]:
        """Scalar value of every component, before weighting; arguments as in `Loss.forward`."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Present weight of every component as a detached scalar tensor."""


def check_inputs(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Check a batch and bring it to computing precision, without waiting for an accelerator.

    Args:
        logits: ``(N, C)``, see `Loss.forward`; so are ``targets`` and ``mask``.
        targets: ``(N, C)``.
        mask: ``(N, C)``.

    Returns:
        Logits and targets in float32 or wider, both 0 where not annotated (no gradient flows back from there, not even
        that of a NaN), and the mask, ``(N, C)`` bool.

    Raises:
        ValueError: See `Loss.forward`.
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must have shape (N, C), found {tuple(logits.shape)}")
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating point, found {logits.dtype}")
    if targets.shape != logits.shape:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}, expected that of the logits, {tuple(logits.shape)}"
        )
    mask = check_targets(targets, mask)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(dtype).masked_fill(~mask, 0.0), targets.to(dtype).masked_fill(~mask, 0.0), mask


def check_targets(targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Check targets and mask alone.

    Args:
        targets: ``(N, C)``; their values are checked on the CPU alone.
        mask: ``(N, C)`` bool, or ``None``.

    Returns:
        The mask, ``(N, C)`` bool.

    Raises:
        ValueError: Targets that are no matrix, a mask of another shape or dtype, an annotated target outside [0, 1] on
            the CPU.
    """
    if targets.ndim != 2:
        raise ValueError(f"targets must have shape (N, C), found {tuple(targets.shape)}")
    if mask is None:
        mask = torch.ones_like(targets, dtype=torch.bool)
    if mask.shape != targets.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, expected that of the targets, {tuple(targets.shape)}")
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool (False = not annotated), found {mask.dtype}")
    if targets.is_cpu:  # an accelerator would have to be waited for
        wrong = mask & ~((targets >= 0) & (targets <= 1))  # written so that NaN is wrong too
        if wrong.any():
            row, label = wrong.nonzero()[0].tolist()
            found = targets[row, label].item()
            raise ValueError(f"targets must lie in [0, 1], found {found} at row {row}, label {label}")
    return mask


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask`` is ``True``; 0, with a graph, where it is ``True`` nowhere.

    Example:
        >>> masked_mean(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False]))
        tensor(1.5000)
    """
    return (values * mask).sum() / mask.sum().clamp(min=1)


def class_vector(name: str, values: Sequence[float] | Tensor) -> Tensor:
    """Weights of the classes as a float32 tensor of shape ``(C,)``.

    Args:
        name: What the weights are called in the error.
        values: ``C`` numbers.

    Raises:
        ValueError: No vector, or a weight that is not positive and finite.
    """
    vector = torch.as_tensor(values, dtype=torch.float32).detach().clone()
    if vector.ndim != 1 or vector.numel() == 0:
        raise ValueError(f"{name} must be one number per class, found shape {tuple(vector.shape)}")
    if not ((vector > 0) & vector.isfinite()).all():
        raise ValueError(f"{name} must be positive and finite, found {vector.tolist()}")
    return vector
