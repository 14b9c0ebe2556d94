"""One batch from the batches of all processes, with gradient."""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torchmetrics.utilities.distributed import gather_all_tensors

__all__ = ["gather_batch"]


def gather_batch(logits: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of all processes, in the order of the processes, which may hold different numbers of rows.

    Every process must call this, and then compute the same loss from the same rows. It then has the gradient of
    its own rows without asking the others; the gradient is multiplied by the number of processes P, since averaging
    over processes, as `torch.nn.parallel.DistributedDataParallel` does, divides the one contribution of each row by P.
    Parameters of the loss itself have the same, whole gradient in every process, which averaging leaves alone.

    Args:
        logits: ``(N_p, C)`` floating point, the share of this process; so are ``targets`` and ``mask``.
        targets: ``(N_p, C)``.
        mask: ``(N_p, C)`` bool.

    Returns:
        The three for the joined batch, ``(Σ N_p, C)``; the arguments themselves where `torch.distributed` has not been
        initialized.

    Example:
        >>> logits, targets, mask = gather_batch(torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2, 3).bool())
        >>> logits.shape
        torch.Size([2, 3])
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return logits, targets, mask
    processes = distributed.get_world_size()
    share = torch.stack((logits, targets.to(logits.dtype), mask.to(logits.dtype)), dim=1)  # one round of messages
    if share.requires_grad:
        share.register_hook(lambda gradient: processes * gradient)
    rows = torch.cat(gather_all_tensors(share))  # its part of this process is `share` itself, with the graph
    return rows[:, 0], rows[:, 1], rows[:, 2].bool()
