"""Devices of runs: how many, and which GPUs."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from tiny_study import HEAD, records, study

from mlemo.cli import main
from mlemo.utils.hardware import GPUPool, leave_process_group, on_gpu, visible_gpus, world_size


@pytest.mark.parametrize(
    ("devices", "expected"), [(1, 1), (4, 4), ("3", 3), ([2], 1), ([0, 1], 2), ("0,3", 2), ("2,", 1)]
)
def test_the_number_of_processes_is_that_of_the_devices(devices: Any, expected: int) -> None:
    assert world_size({"trainer": {"devices": devices, "num_nodes": 1}}) == expected


@pytest.mark.parametrize("devices", ["auto", -1, "-1", 0, None, [], "", "a,b"])
def test_a_number_that_depends_on_the_machine_is_refused(devices: Any) -> None:
    with pytest.raises(ValueError, match=r"trainer\.devices: .* needs a number of devices.*; found"):
        world_size({"trainer": {"devices": devices}})


@pytest.mark.parametrize(("accelerator", "expected"), [("auto", True), ("gpu", True), ("cpu", False), ("tpu", False)])
def test_a_gpu_is_taken_where_the_trainer_would_take_one(accelerator: str, expected: bool) -> None:
    assert on_gpu({"trainer": {"accelerator": accelerator}}) is expected


def test_gpus_have_the_names_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-7a")
    assert visible_gpus() == ("5", "GPU-7a")


def hold(folder: Path, channel: Connection) -> None:
    """Another command, which takes one of two GPUs and is killed."""
    pool = GPUPool(["0", "1"], folder)
    channel.send(pool.take(1))
    channel.recv()


def test_no_two_commands_have_the_same_gpu_and_those_of_a_killed_one_are_free(tmp_path: Path) -> None:
    pool, (here, there) = GPUPool(["0", "1"], tmp_path), multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path, there), daemon=True)
    other.start()
    assert here.recv() == ("0",)
    assert pool.take(2) is None
    assert pool.take(1) == ("1",), "what was taken on the way to two is free again"
    assert pool.take(1) is None
    assert pool.take(0) == ()
    other.kill()
    other.join()
    assert pool.take(1) == ("0",)
    pool.give_back(["1", "0"])
    assert pool.take(2) == ("0", "1")
    with pytest.raises(ValueError, match="a run needs 3 GPUs, and this process sees 2"):
        pool.take(3)


def test_gpus_that_a_scheduler_gave_are_not_shared_with_other_jobs(tmp_path: Path) -> None:
    first, second = (GPUPool(["0"], tmp_path, shared=False) for _ in range(2))
    assert first.take(1) == second.take(1) == ("0",), "another GPU that has the same name in its job"
    assert first.take(1) is None
    first.give_back(["0"])
    assert first.take(1) == ("0",)


def test_variables_of_launchers_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "SLURM_PROCID", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    leave_process_group()
    assert "RANK" not in os.environ
    assert not [name for name in os.environ if name.startswith("TORCHELASTIC_")]
    assert {"SLURM_PROCID", "SLURM_NTASKS", "MASTER_PORT"}.isdisjoint(os.environ)
    assert os.environ["SLURM_JOB_ID"] == "7", "the job is still the same"


def test_a_run_has_one_device_and_float32_unless_its_words_say_otherwise_and_no_place_in_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)  # as torchrun sets them
    file = study(tmp_path, scales={"tiny": {"set": HEAD, "seeds": [1]}})
    main(["reproduce", file, "--scale=tiny", f"--folder={tmp_path}"])
    (record,) = records(tmp_path).values()
    assert (record["world_size"], record["global_batch"], record["precision"]) == (1, 8, "32-true")
    assert record["code"].startswith("sha256:")


def test_a_run_on_two_devices_is_one_training_of_two_processes(tmp_path: Path) -> None:
    two = HEAD | {"trainer.devices": 2, "trainer.precision": "32-true"}
    file = study(tmp_path, scales={"tiny": {"set": two, "seeds": [1]}})
    main(["reproduce", file, "--scale=tiny", f"--folder={tmp_path}"])
    (record,) = records(tmp_path).values()
    assert (record["world_size"], record["global_batch"]) == (2, 16)
    log = (tmp_path / "runs" / record["address"] / "log.txt").read_text(encoding="utf-8")
    assert log.count("GLOBAL_RANK: ") == 2
    assert "epoch 2/2" in log
    words = record["words"]
    assert words[-3:] == ["--model.loss=BinaryCrossEntropy", "--seed_everything=1", "--data.seed=1"]
    place = f"--trainer.logger.save_dir={tmp_path / 'fit'}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "mlemo", "fit", *words, place], env=environment, check=True)
    for split in ("val", "test"):
        expected = json.loads((tmp_path / "fit" / "version_0" / f"results_{split}.json").read_text())
        assert record["results"][split] == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("devices", "auto", "needs a number of devices"), ("num_nodes", 2, "is on one machine, found 2")],
)
def test_hardware_that_depends_on_the_machine_is_refused(
    key: str, value: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = study(tmp_path, scales={"tiny": {"set": HEAD | {f"trainer.{key}": value}, "seeds": [1]}})
    with pytest.raises(SystemExit):
        main(["reproduce", file, "--scale=tiny", f"--folder={tmp_path}"])
    err = capsys.readouterr().err
    assert message in err
    assert re.search(rf"tests.yaml:\d+: scales.tiny.set.trainer.{key}, scale tiny, BCE, seed 1: ", err)
