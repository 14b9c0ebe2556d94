"""Rows that several processes compute together, each a share of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, distributed

__all__ = ["in_shares"]


def in_shares(parts: Sequence[Tensor], compute: Callable[[Tensor], Tensor]) -> Tensor:
    """``torch.cat([compute(part) for part in parts])``, where each part is computed by one of the processes.

    Part i is computed by process i mod P and sent to all others, so that every process has the same rows, to the last
    bit those of a single process. Each computes ⌈parts / P⌉ times, the last part over again where none is left for it:
    a sharded model waits in each layer for all processes. Without gradient. Every process must call this.

    Args:
        parts: One or more tensors of ``(n_i, …)``, the same in every process.
        compute: From a part to ``(n_i, …)``, of one floating dtype and on one device.

    Returns:
        ``(Σ n_i, …)``.

    Example:
        >>> in_shares(torch.arange(5.0).split(2), lambda part: 10 * part)
        tensor([ 0., 10., 20., 30., 40.])
    """
    several = distributed.is_available() and distributed.is_initialized()
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if several else (0, 1)
    if processes == 1:
        return torch.cat([compute(part) for part in parts])
    turns = -(-len(parts) // processes)
    found = [compute(parts[min(turn * processes + rank, len(parts) - 1)]) for turn in range(turns)]
    # rows of other processes stay 0, so that the sum over the processes is each row as its own process has it
    joined = found[0].new_zeros(sum(map(len, parts)), *found[0].shape[1:])
    for index, rows in enumerate(joined.split([len(part) for part in parts])):
        if index % processes == rank:
            rows.copy_(found[index // processes])
    distributed.all_reduce(joined)
    return joined
