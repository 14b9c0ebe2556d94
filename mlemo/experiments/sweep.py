"""Search for good settings, and its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console

from mlemo.experiments.executors import Executor, LocalExecutor

if TYPE_CHECKING:
    import optuna

__all__ = ["sweep"]


def sweep(
    path: Path,
    folder: Path,
    *,
    variables: Mapping[str, str] | None = None,
    trials: int | None = None,
    executor: Executor | None = None,
) -> optuna.Study:
    """Continue a sweep until enough trials are finished; then write its table, its pictures and the best trial.

    Args:
        path: Its file.
        folder: Where it is kept, in ``folder/<name of the file>``.
        variables: Values of ``${name}`` in the file.
        trials: How many are to be finished; by default as in the file.
        executor: Where trials are trained, closed at the end; by default on this machine, one at a time.

    Returns:
        The study, with all trials.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a sweep, a key of it is no setting, or another command works on the sweep.
        KeyboardInterrupt: Interrupted by the user.
    """
    # Optuna is an extra, and it must not be needed for `mlemo sweep --help`
    from mlemo.experiments.search import Search  # noqa: PLC0415
    from mlemo.experiments.sweep_file import load_sweep  # noqa: PLC0415
    from mlemo.experiments.sweep_results import write_results  # noqa: PLC0415

    if trials is not None and trials < 1:
        raise ValueError(f"--trials must be at least 1, found {trials}")
    loaded = load_sweep(path, variables)
    on_gpu = loaded.check()
    console, folder = Console(), folder / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "sweep.lock").acquire(blocking=False):
            search = Search(loaded, folder, trials=trials or loaded.trials, on_gpu=on_gpu)
            with executor or LocalExecutor() as place:
                search.run(place, console)
            write_results(search.study, loaded, folder, console)
            return search.study
    except Timeout:
        raise ValueError(f"another `mlemo sweep` works in {folder}; --workers has more trials at once") from None
