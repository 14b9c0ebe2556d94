"""Commands of mlemo in processes of their own, which may start others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def in_processes(*words: str, status: int | None = 0) -> str:
    """Run `mlemo` with some words, one thread per process, and return what was written to the standard error.

    Args:
        words: Arguments; classes of the tests, such as `kill.KillAt`, can be named.
        status: The expected exit status; `None` for any but 0.
    """
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "mlemo", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == status or (status is None and done.returncode), done.stderr[-3000:]
    return done.stderr
