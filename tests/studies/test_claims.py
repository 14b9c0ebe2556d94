"""Claims: one worker a run, taken up when it died, and a result only from the one who holds it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlemo.studies.claims import Claims, _host

RACE = """
import sys
from mlemo.studies.claims import Claims
claims = Claims(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(" ".join(str(n) for n in range(150) if claims.take(f"r{n}")), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture
def claims(url: str) -> Iterator[Claims]:
    table = Claims(url, grace=0.2)
    yield table
    table.close()


@pytest.mark.parametrize("left_by_a_dead_worker", [False, True])
def test_no_run_is_claimed_by_two_processes(url: str, left_by_a_dead_worker: bool) -> None:
    if left_by_a_dead_worker:
        gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
        dead = Claims(url, owner=f"{_host()}:{int(gone.stdout)}:x")
        assert all(dead.take(f"r{number}") for number in range(150))
        dead.close()
    words = [sys.executable, "-c", RACE, url]
    workers = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    taken = [worker.stdout.readline().split() for worker in workers if worker.stdout is not None]
    for worker in workers:
        worker.communicate("end\n")
    together = [address for each in taken for address in each]
    assert len(together) == len(set(together)) == 150


def test_a_run_of_a_silent_worker_is_taken_up_and_its_result_refused(url: str, claims: Claims) -> None:
    silent = Claims(url, owner="elsewhere-0:1:abc")
    assert silent.take("r1")
    assert not claims.take("r1")
    time.sleep(0.12)
    assert silent.beat("r1")
    assert not claims.take("r1")  # it has moved
    time.sleep(0.12)
    assert not claims.take("r1")  # 0.2 seconds count from when it was seen to have moved
    time.sleep(0.25)
    assert claims.take("r1")
    written: list[str] = []
    assert not silent.beat("r1")
    assert not silent.finish("r1", "done", "late", lambda: written.append("late"))
    assert claims.finish("r1", "done", "right", lambda: written.append("right"))
    assert written == ["right"]
    assert claims.states() == {"r1": ("done", "right")}
    assert not silent.take("r1")
    silent.close()


def test_a_run_of_a_dead_process_of_this_machine_is_taken_up_at_once(url: str, tmp_path: Path) -> None:
    code = "import sys; from mlemo.studies.claims import Claims; assert Claims(sys.argv[1]).take('r1')"
    subprocess.run([sys.executable, "-c", code, url], check=True)
    claims = Claims(url, grace=1e6)
    assert claims.take("r1")
    other = Claims(url, grace=1e6)
    assert not other.take("r1")  # this process is alive
    other.close()
    claims.close()


def test_a_failed_run_is_taken_only_where_it_is_to_be_tried_again(claims: Claims) -> None:
    assert claims.take("r1")
    assert claims.finish("r1", "failed", "no memory")
    assert not claims.take("r1")
    assert claims.take("r1", retry_failed=True)
    claims.release("r1")
    assert claims.states() == {}


def test_a_record_that_cannot_be_written_leaves_the_run_open(claims: Claims) -> None:
    def write() -> None:
        raise OSError("disk full")

    assert claims.take("r1")
    with pytest.raises(OSError, match="disk full"):
        claims.finish("r1", "done", "record", write)
    assert claims.states() == {"r1": ("running", "")}


def test_a_wrong_database_is_named() -> None:
    with pytest.raises(ValueError, match="--storage nonsense: "):
        Claims("nonsense")
