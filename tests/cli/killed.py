"""A command in a process that ends itself right before a change of its files, as a kill at that moment would."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["mlemo.cli.classify", "mlemo.classification", "cli.killed"])


def run(words: Sequence[str], name: str, event: str, call: int) -> int:
    """Run a command until a file is about to be changed; return its exit code, negative for a signal.

    Args:
        words: The command line.
        name: Part of the path of the files that count.
        event: The audit event of Python that counts: ``open`` for writing, ``os.rename`` or ``os.remove``.
        call: How many of them come before the end, itself included.
    """
    process = CONTEXT.Process(target=_run, args=(list(words), str(Path.cwd()), name, event, call))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(words: list[str], folder: str, name: str, event: str, call: int) -> None:
    import torch

    from mlemo.cli import main

    torch.set_num_threads(1)
    os.chdir(folder)
    calls = 0

    def count(found: str, details: tuple[Any, ...]) -> None:
        nonlocal calls
        if found != event or name not in str(details[0]) or (event == "open" and "w" not in str(details[1])):
            return
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    main(words)
