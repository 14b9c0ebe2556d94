"""Executors: jobs that end, fail, crash, take too long, are cancelled, and leave nothing behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_study import HEAD, records, study

from mlemo.cli import main
from mlemo.experiments.executors import Executor, Job, LocalExecutor
from mlemo.experiments.executors.local import run_alone

WITH_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
LONG = pytest.mark.skipif("MLEMO_LONG" not in os.environ, reason="it takes a minute; set MLEMO_LONG")
WITH_SUBMITIT = pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")


def local() -> Executor:
    return LocalExecutor(2)


def on_ray() -> Executor:
    from mlemo.experiments.executors.ray import RayExecutor

    places = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
    return RayExecutor("local", 2)


def on_submitit() -> Executor:
    from mlemo.experiments.executors.submitit import SubmititExecutor

    return SubmititExecutor("local", ["timeout_min=5"], 2)


EXECUTORS = [
    local,
    pytest.param(on_ray, marks=WITH_RAY),
    pytest.param(on_submitit, marks=[WITH_SUBMITIT, LONG]),
]


def write(folder: Path, text: str) -> None:
    sys.stdout.write(f"writes {text}\n")
    (folder / "out.txt").write_text(text)


def fail(folder: Path) -> None:
    raise RuntimeError("the sky fell")


def kill(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_on(folder: Path) -> None:
    """Write again and again, as a training that does not end."""
    for number in range(10**6):
        (folder / "out.txt").write_text(str(number))
        time.sleep(0.01)


def end_all(executor: Executor, count: int) -> dict[str, tuple[int | None, str]]:
    found: dict[str, tuple[int | None, str]] = {}
    end = time.monotonic() + 120
    while len(found) < count and time.monotonic() < end:
        found |= {ended.name: (ended.status, ended.reason) for ended in executor.wait(1.0)}
    return found


@pytest.mark.parametrize("make", EXECUTORS)
def test_jobs_end_fail_crash_and_are_cancelled(make: Callable[..., Executor], tmp_path: Path) -> None:
    def job(name: str, function: Callable[..., object], *arguments: object) -> Job:
        return Job(name, function, (tmp_path / "runs" / name, *arguments), tmp_path / "runs" / name)

    with make() as executor:
        for one in (job("a", write, "A"), job("b", fail), job("c", kill), job("d", write, "D")):
            executor.submit(one)
        found = end_all(executor, 4)
        assert {name: status for name, (status, _) in found.items()} == {"a": 0, "b": 1, "c": -9, "d": 0}
        assert (tmp_path / "runs" / "a" / "out.txt").read_text() == "A"
        assert (tmp_path / "runs" / "a" / "log.txt").read_text() == "writes A\n"
        assert found["a"][1] == ""
        assert found["b"][1].endswith("RuntimeError: the sky fell")
        assert "ended with signal 9; is there enough memory?" in found["c"][1]
        executor.submit(job("f", write_on))
        executor.submit(job("g", write_on))
        for name in "fg":
            wait_for(tmp_path / "runs" / name / "out.txt")
        executor.cancel("f")
        is_still(tmp_path / "runs" / "f" / "out.txt")
        assert executor.wait(0.2) == [], "a job that was cancelled is not told of"
    is_still(tmp_path / "runs" / "g" / "out.txt")


def ignore(folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_on(folder)


def test_a_job_beyond_its_time_limit_is_asked_to_end_and_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlemo.experiments.executors.local.GRACE", 1.0)
    for name, function in (("warm", write), ("a", write_on), ("b", ignore)):
        (tmp_path / name).mkdir()
        arguments = (tmp_path / name, *(["A"] if function is write else []))
        ended = run_alone(Job(name, function, arguments, tmp_path / name), None if name == "warm" else 3.0)
        assert ended.status == {"warm": 0, "a": -15, "b": -9}[name]
        if name != "warm":
            assert ended.reason.startswith("stopped at the time limit of 3 s; ended with signal ")
            is_still(tmp_path / name / "out.txt")


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.is_file():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.05)


def is_still(path: Path) -> None:
    time.sleep(0.3)
    text = path.read_text()
    time.sleep(0.5)
    assert path.read_text() == text, f"{path} is still written"


@pytest.fixture
def few_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mlemo.utils.hardware.visible_gpus", lambda: ("0", "1", "2"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


def show_gpus(folder: Path, seconds: float) -> None:
    (folder / "out.txt").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    time.sleep(seconds)


def test_jobs_have_gpus_to_themselves_and_others_need_not_wait(few_gpus: None, tmp_path: Path) -> None:
    def job(name: str, gpus: int, seconds: float) -> Job:
        return Job(name, show_gpus, (tmp_path / name, seconds), tmp_path / name, gpus)

    with LocalExecutor(4) as executor:
        for one in (job("a", 2, 3.0), job("b", 2, 0.0), job("c", 1, 0.0), job("d", 0, 0.0)):
            executor.submit(one)
        found = end_all(executor, 4)
    assert set(found) == set("abcd")
    assert {status for status, _ in found.values()} == {0}
    assert list(found)[-1] == "b", "two GPUs were not free before a had ended"
    seen = {name: (tmp_path / name / "out.txt").read_text() for name in "abcd"}
    assert (seen["a"], seen["c"]) == ("0,1", "2")
    assert len(seen["b"].split(",")) == 2


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_refused(workers: int) -> None:
    with pytest.raises(ValueError, match=f"--workers must be at least 1, found {workers}"):
        LocalExecutor(workers)


#: Each batch job of submitit imports everything twice.
SEEDS = [1, 2] if "MLEMO_LONG" in os.environ else [1]


@pytest.fixture(scope="module")
def on_this_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("local")
    file = study(folder, scales={"tiny": {"set": HEAD, "seeds": SEEDS}})
    main(["reproduce", file, "--scale=tiny", f"--folder={folder}", "--workers=2"])
    return records(folder)


@pytest.mark.parametrize("place", ["submitit", "ray"])
def test_a_study_has_the_same_records_on_each_executor(
    place: str, on_this_machine: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(place)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    chosen = ["--submitit", "local"] if place == "submitit" else ["--ray=local"]
    file = study(tmp_path, scales={"tiny": {"set": HEAD, "seeds": SEEDS}})
    main(["reproduce", file, "--scale=tiny", f"--folder={tmp_path}", "--workers=2", *chosen])
    found = records(tmp_path)
    assert found.keys() == on_this_machine.keys()
    for address, record in found.items():
        assert record["results"] == on_this_machine[address]["results"]
        assert record["hardware"] == on_this_machine[address]["hardware"]


def test_a_script_without_a_guard_is_not_run_again_by_its_jobs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import shutil, sys\n"
        "from pathlib import Path\n"
        "from mlemo.experiments.executors import Job, LocalExecutor\n"
        "here = Path(__file__).parent\n"
        "with (here / 'times.txt').open('a') as file: file.write('once\\n')\n"
        "with LocalExecutor() as executor:\n"
        "    executor.submit(Job('copy', shutil.copyfile, (here / 'times.txt', here / 'copy.txt'), here / 'job'))\n"
        "    while not (ended := executor.wait(1.0)): pass\n"
        "    assert sys.modules['__main__'].here is here\n"
        "    assert ended[0].status == 0, ended\n"
    )
    subprocess.run([sys.executable, str(script)], check=True)
    assert (tmp_path / "copy.txt").read_text() == (tmp_path / "times.txt").read_text() == "once\n"
