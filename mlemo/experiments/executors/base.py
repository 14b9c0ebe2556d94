"""What all executors have in common: they take jobs, and return those that have ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["BUSY", "RETRIES", "Ended", "Executor", "Job"]

RETRIES = 2  #: of a job whose process was killed: it may be the job that needs too much memory
BUSY = 75  #: exit status of a job whose folder another process works in (``EX_TEMPFAIL`` of sysexits.h)


@dataclass(frozen=True)
class Job:
    """Something that is done in a process of its own.

    Args:
        name: Its name, of which the executor has one at a time.
        function: A function of a module, called with the arguments.
        arguments: What it is called with; they are pickled.
        folder: Where what it prints is logged; on a cluster, on a file system that all machines share.
        gpus: How many GPUs it has to itself.
    """

    name: str
    function: Callable[..., object]
    arguments: tuple[object, ...]
    folder: Path
    gpus: int = 0


@dataclass(frozen=True)
class Ended:
    """The end of a job.

    Args:
        name: The job.
        status: Its exit status, 0 where it did all; negative for a signal; ``None`` where the executor lost it.
        reason: Why it ended, where the status is not 0, with the last lines of its log.
        late: Whether it was ended at the time limit.
    """

    name: str
    status: int | None
    reason: str = ""
    late: bool = False

    @property
    def was_killed(self) -> bool:
        """Whether something outside ended it, so that it may succeed when it is tried again."""
        return not self.late and (self.status is None or self.status < 0)


class Executor(ABC):
    """Runs jobs, several at a time. As a context manager it ends the jobs that it leaves.

    Attributes:
        slots: How many jobs are worth submitting at a time.
    """

    slots: int

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job, which is begun when there is room for it; earlier ones first, as far as they have room."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call; waits for the first of them for so long."""

    @abstractmethod
    def cancel(self, name: str) -> None:
        """End a job at once, without an `Ended` for it; when this returns, it writes nothing more."""

    @abstractmethod
    def close(self) -> None:
        """End all jobs at once."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
