"""Hyper-parameter search: ``mlemo sweep``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console

from mlemo.cli.executors import executor_of
from mlemo.cli.sweep import parser as make_parser
from mlemo.executors import Executor, LocalExecutor
from mlemo.variables import variables_of

if TYPE_CHECKING:
    import optuna

__all__ = ["main", "sweep"]


def sweep(
    path: Path,
    folder: Path,
    *,
    variables: Mapping[str, str] | None = None,
    trials: int | None = None,
    executor: Executor | None = None,
) -> optuna.Study:
    """Go on with a sweep until enough trials are finished; then write its table, its pictures and the best trial.

    Args:
        path: Its file.
        folder: Where it is kept, in ``folder/<name of the file>``.
        variables: Values of ``${name}`` in the file.
        trials: How many are to be finished; by default what the file says.
        executor: Where trials are trained, closed at the end; by default on this machine, one at a time.

    Returns:
        The study, with all trials.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a sweep, a key of it is no setting, or another command works on the sweep.
        KeyboardInterrupt: Broken off by the user.
    """
    # Optuna is an extra, and it must not be needed for `mlemo sweep --help`
    from mlemo.sweeps.results import write_results  # noqa: PLC0415
    from mlemo.sweeps.search import Search  # noqa: PLC0415
    from mlemo.sweeps.sweep_file import load_sweep  # noqa: PLC0415

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


def main(words: Sequence[str]) -> optuna.Study:
    """``mlemo sweep``.

    Args:
        words: The command line behind ``sweep``.

    Returns:
        The study, with all trials.

    Raises:
        SystemExit: Optuna is missing, or command line or file cannot be understood (2); no trial was completed (1); or
            broken off (130).
    """
    parser = make_parser()
    options = parser.parse_args(list(words))
    if find_spec("optuna") is None:
        parser.exit(2, "mlemo sweep needs Optuna; install it with: pip install 'mlemo[sweep]'\n")
    try:
        study = sweep(
            options.file,
            options.folder,
            variables=variables_of(options.set),
            trials=options.trials,
            executor=executor_of(options),
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "broken off; the same command goes on\n")
    if not any(trial.state.name == "COMPLETE" for trial in study.trials):
        raise SystemExit(1)
    return study
