"""Where a run writes: one folder for one run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mlemo.runs.files import BEST, CONFIG, MANIFEST, of_a_run

__all__ = ["check_name", "claim", "clear", "folder_of_checkpoint", "next_version", "traces"]

LONGEST = 100  #: characters of a name
NAME = re.compile(r"\w[\w.+-]*")


def check_name(name: str) -> str:
    """A name of a run, which names its folder too.

    Raises:
        ValueError: It has other characters than letters, digits and ``. _ + -``, begins with a sign, or is too long.

    Example:
        >>> check_name("wdl-3e-5")
        'wdl-3e-5'
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise ValueError(
            f"--name: expected up to {LONGEST} letters, digits, and . _ + - behind the first of them, found {name!r}; "
            "the folder above is trainer.logger.save_dir"
        )
    return name


def next_version(root: Path) -> Path:
    """The next folder ``version_N`` of a root that is not there, as Lightning's loggers count them."""
    found = [path.name.removeprefix("version_") for path in root.glob("version_*")]
    return root / f"version_{max((int(number) for number in found if number.isdecimal()), default=-1) + 1}"


def folder_of_checkpoint(checkpoint: str | Path) -> Path | None:
    """The folder of the run that wrote a checkpoint; ``None`` where the file is in none.

    Example:
        >>> folder_of_checkpoint("runs/first/checkpoints/last.ckpt").as_posix()
        'runs/first'
    """
    parent = Path(checkpoint).parent
    return parent.parent if parent.name == Path(BEST.name).parent.name else None


def traces(folder: Path) -> Iterator[str]:
    """Names of the files which show that a training has begun in a folder."""
    return (path.relative_to(folder).as_posix() for path, file in of_a_run(folder) if file.training)


def claim(folder: Path, checkpoint: str | Path | None = None) -> None:
    """Check that a training may write into a folder: there is no run in it, or the training continues that run.

    Args:
        folder: The folder, which need not be there.
        checkpoint: What the training continues from.

    Raises:
        ValueError: There is another run; the message names the choices.
    """
    own = None if checkpoint is None else folder_of_checkpoint(checkpoint)
    if own is not None and own.resolve() == folder.resolve():
        return
    if found := list(traces(folder)):
        shown = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
        raise ValueError(
            f"{folder} holds a run already ({shown})\n"
            f"continue it with `mlemo resume {folder}`, give this run another --name, or replace it with --overwrite"
        )


def clear(folder: Path, checkpoint: str | Path | None = None) -> None:
    """Delete the files of a run from a folder; other files stay, and so does the config until the next one replaces it.

    Args:
        folder: The folder, which need not be there.
        checkpoint: What the training to come continues from.

    Raises:
        ValueError: The checkpoint would be deleted too.
    """
    own = None if checkpoint is None else folder_of_checkpoint(checkpoint)
    if own is not None and own.resolve() == folder.resolve():
        raise ValueError(f"--overwrite would delete {checkpoint}, from which the training is to continue")
    # the manifest first: its statements about the other files no longer hold
    for path, file in sorted(of_a_run(folder), key=lambda item: item[1] is not MANIFEST):
        if file is not CONFIG:
            path.unlink()
