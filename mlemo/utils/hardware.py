"""What the hardware can do, and which part of it a run has to itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

__all__ = ["GPUPool", "has_bf16", "leave_process_group", "on_gpu", "visible_gpus", "world_size"]

#: Variables by which launchers pass a process its place in a group: torchrun, Lightning, Slurm, LSF and MPI.
RANK_VARIABLES = (
    "RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE",
    "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS",
    "SLURM_STEP_NUM_TASKS", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK", "JSM_NAMESPACE_SIZE", "PMI_RANK",
    "OMPI_COMM_WORLD_RANK",
)  # fmt: skip


def has_bf16() -> bool:
    """Whether the hardware that is there multiplies in bfloat16: the GPU where there is one, else the processor.

    Emulated bfloat16 is slower than float32 and does not count.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def leave_process_group() -> None:
    """Remove the variables of a launcher from the environment, so that this process and its children are of no group.

    A study that is started by ``torchrun`` or ``srun`` is the same in each of its processes: a worker of its own.
    """
    for name in list(os.environ):
        if name in RANK_VARIABLES or name.startswith("TORCHELASTIC_"):
            del os.environ[name]


def world_size(config: Mapping[str, Any]) -> int:
    """The number of processes, one per device, that the config of a training requires.

    Args:
        config: Settings of ``mlemo fit``.

    Raises:
        ValueError: The number depends on the machine (``auto``, -1), or the devices are of several machines.

    Example:
        >>> world_size({"trainer": {"devices": 2}}), world_size({"trainer": {"devices": "0,3"}})
        (2, 2)
    """
    devices, nodes = config["trainer"].get("devices"), config["trainer"].get("num_nodes") or 1
    if nodes != 1:
        raise ValueError(f"trainer.num_nodes: a run of a study or a sweep is on one machine, found {nodes}")
    several = devices.strip(" ,").split(",") if isinstance(devices, str) and "," in devices else devices
    if not isinstance(several, list | tuple):
        count = int(several) if str(several).isdecimal() else 0
    else:
        count = len(several) if all(str(one).strip().isdecimal() for one in several) else 0
    if count < 1:
        raise ValueError(
            f"trainer.devices: a run of a study or a sweep needs a number of devices, so that it is the same on every "
            f"machine; found {devices!r}"
        )
    return count


def on_gpu(config: Mapping[str, Any]) -> bool:
    """Whether the config of a training takes a GPU where there is one."""
    return config["trainer"].get("accelerator") in (None, "auto", "gpu", "cuda")


def visible_gpus() -> tuple[str, ...]:
    """The GPUs of this process, by the names that ``CUDA_VISIBLE_DEVICES`` has for them."""
    count = torch.cuda.device_count()
    names = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(names[:count] if names else map(str, range(count)))


class GPUPool:
    """GPUs of this machine, each of which one run has at a time, also among the processes of several commands.

    A GPU is taken by a lock on a file in the temporary folder, which the system releases when the process ends.

    Args:
        names: GPUs, as ``CUDA_VISIBLE_DEVICES`` names them; ``None`` for those of this process.
        folder: Where the lock files are; ``None`` for ``mlemo-gpus`` in the temporary folder.
        shared: Whether other commands may take the same GPUs. A scheduler gives each of its jobs GPUs of its own, which
            may have the same name in all of them.
    """

    def __init__(self, names: Sequence[str] | None = None, folder: Path | None = None, *, shared: bool = True) -> None:
        self.names = visible_gpus() if names is None else tuple(names)
        self._folder = Path(tempfile.gettempdir(), "mlemo-gpus") if folder is None else folder
        self._shared = shared
        self._held: dict[str, FileLock | None] = {}

    def take(self, count: int) -> tuple[str, ...] | None:
        """Take GPUs.

        Args:
            count: How many.

        Returns:
            Their names; ``None`` where fewer are free now, and then none is taken.

        Raises:
            ValueError: There are not that many.
        """
        if count > len(self.names):
            raise ValueError(f"trainer.devices: a run needs {count} GPUs, and this process sees {len(self.names)}")
        taken: list[str] = []
        for name in self.names:
            if len(taken) < count and name not in self._held and self._lock(name):
                taken.append(name)
        if len(taken) < count:
            self.give_back(taken)
            return None
        return tuple(taken)

    def give_back(self, names: Sequence[str]) -> None:
        """Let others have GPUs that were taken."""
        for name in names:
            if (lock := self._held.pop(name)) is not None:
                lock.release()

    def _lock(self, name: str) -> bool:
        if not self._shared:
            self._held[name] = None
            return True
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o777)  # other users of the machine take the same GPUs
        lock = FileLock(self._folder / f"{name}.lock", mode=0o666, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._held[name] = lock
        return True
