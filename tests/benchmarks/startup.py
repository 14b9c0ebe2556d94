"""Seconds until the command line answers.

python tests/benchmarks/startup.py
"""

import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

MLEMO = str(Path(sys.executable).with_name("mlemo"))
#: Command and the most seconds that it may take, where that is asked for.
COMMANDS: list[tuple[list[str], float | None]] = [
    ([MLEMO, "--help"], 0.5),
    ([MLEMO, "fit", "--help"], None),
    ([sys.executable, "-c", "import mlemo"], None),
]


def seconds(command: list[str]) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def main() -> int:
    table = Table("command", title="median of 5 calls")
    for column in ("seconds", "asked", "result"):
        table.add_column(column, justify="right")
    failed = False
    for command, mark in COMMANDS:
        value = median(seconds(command) for _ in range(5))
        passed = mark is None or value <= mark
        failed |= not passed
        result = "" if mark is None else "pass" if passed else "FAIL"
        name = " ".join([Path(command[0]).name, *command[1:]])
        table.add_row(name, f"{value:.2f}", "" if mark is None else f"≤ {mark}", result)
    Console().print(table)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
