"""Two processes give what one process gives: the same training, the same thresholds, the same metrics."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from processes import in_processes

from mlemo.cli import main

# no dropout: its noise depends on the process; 96 rows in batches of 8 fill both processes at every step
WORDS = [
    "fit",
    "--data=SyntheticEmotions",
    *["--data.size=96", "--data.val_size=33", "--data.test_size=31", "--data.batch_size=8", "--data.eval_batch_size=8"],
    "--model=BertWDL",
    *["--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=32"],
    *["--model.encoder.heads=2", "--model.encoder.vocabulary=300", "--model.encoder.dropout=0", "--model.dropout=0"],
    *[
        "--model.loss=WeightedDifferenceLoss",
        "--model.loss.permutation=exact",
        "--model.optimization.learning_rate=2e-3",
    ],
    *[
        "--trainer.precision=32-true",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=3",
        "--figures.every_n_epochs=0",
    ],
]
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]


def folder(path: Path) -> str:
    return f"--trainer.logger.init_args.save_dir={path}"


def results(path: Path, stage: str) -> dict:
    return json.loads((path / "version_0" / f"results_{stage}.json").read_text())


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one")
    # two batches a step in one process are what two processes do with one batch each
    main([*WORDS, folder(path), "--trainer.accumulate_grad_batches=2"])
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two")
    in_processes(*WORDS, folder(path), *TWO)
    return path


def test_training_in_two_processes_equals_one(one: Path, two: Path) -> None:
    first, second = (
        torch.load(path / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for path in (one, two)
    )
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=2e-4, rtol=2e-3, msg=name)


def test_a_loss_of_the_joined_batch_trains_in_two_processes_as_in_one(tmp_path: Path) -> None:
    words = ["--model.loss=SoftMacroF1Loss", "--model.loss.gather=true", "--data.group_by_length=false"]
    words = [word for word in WORDS if not word.startswith(("--model.loss", "--trainer.max_epochs"))] + words
    words += ["--trainer.max_epochs=1", "--test_after_fit=false"]
    main([*words, "--data.batch_size=16", folder(tmp_path / "one")])
    in_processes(*words, folder(tmp_path / "two"), *TWO)
    first, second = (
        torch.load(tmp_path / name / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("one", "two")
    )
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=2e-4, rtol=2e-3, msg=name)


def test_adapters_train_in_two_processes_as_in_one(pretrained: Path, tmp_path: Path) -> None:
    words = [word for word in WORDS if not word.startswith(("--model", "--trainer.max_epochs"))]
    words += ["--model=TransformerClassifier", "--model.encoder=Lora", "--model.encoder.base=Pretrained"]
    words += [f"--model.encoder.base.name={pretrained}", "--model.encoder.base.dropout=0"]
    words += ["--model.encoder.dropout=0", "--model.dropout=0", "--model.optimization.learning_rate=1e-2"]
    words += ["--trainer.max_epochs=1", "--data.group_by_length=false"]
    main([*words, "--data.batch_size=16", folder(tmp_path / "one")])
    in_processes(*words, folder(tmp_path / "two"), *TWO)
    first, second = (tmp_path / name / "version_0" / "checkpoints" / "last.ckpt" for name in ("one", "two"))
    assert second.stat().st_size == pytest.approx(first.stat().st_size, rel=0.01)
    states = [torch.load(path, weights_only=True)["state_dict"] for path in (first, second)]
    assert any("lora_B" in name for name in states[0])
    assert not any("embeddings" in name for name in states[0])
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, atol=2e-4, rtol=2e-3, msg=name)


@pytest.mark.parametrize("stage", ["val", "test"])
def test_metrics_of_two_processes_equal_one(one: Path, two: Path, stage: str) -> None:
    # 33 and 31 rows: neither divides by two processes or by the batch size, and no row may count twice
    first, second = results(one, stage), results(two, stage)
    assert first.keys() == second.keys()
    assert (first["rule"], first["warnings"]) == (second["rule"], second["warnings"])
    assert first["macro_ap"] > 0
    for name in first.keys() - {"rule", "loss", "intervals", "warnings"}:
        assert second[name] == pytest.approx(first[name], abs=2e-3), name


def test_a_checkpoint_tested_in_two_processes_gives_exactly_the_same_figures(one: Path, tmp_path: Path) -> None:
    checkpoint = one / "version_0" / "checkpoints" / "best.ckpt"
    in_processes("test", f"--ckpt_path={checkpoint}", folder(tmp_path), *TWO)
    first, second = results(one, "test"), results(tmp_path, "test")
    for name in first.keys() - {"rule", "loss", "intervals", "warnings"}:
        assert second[name] == pytest.approx(first[name], abs=1e-6), name
    lines = [(path / "version_0" / "predictions_test.csv").read_text().splitlines() for path in (one, tmp_path)]
    assert [line.split(",")[0] for line in lines[0]] == [line.split(",")[0] for line in lines[1]]
    assert len(lines[1]) == 1 + 31


def killer(hook: str, call: int, number: int, rank: int | None) -> list[str]:
    place = [f"--trainer.callbacks.hook={hook}", f"--trainer.callbacks.call={call}"]
    return [
        "--trainer.callbacks+=kill.KillAt",
        *place,
        f"--trainer.callbacks.number={number}",
        f"--trainer.callbacks.rank={'null' if rank is None else rank}",
    ]


#: How one of two processes ends; without MLEMO_LONG the first alone is run.
ENDS = {
    "SIGTERM to both processes": (("on_train_batch_end", 8), 15, None, 143),
    "SIGTERM to one of two processes": (("on_train_batch_end", 8), 15, 1, 143),
    "one of two processes killed": (("on_train_batch_start", 9), 9, 1, None),
}
NAMES = list(ENDS) if "MLEMO_LONG" in os.environ else list(ENDS)[:1]


@pytest.mark.parametrize(("place", "number", "rank", "status"), [ENDS[name] for name in NAMES], ids=NAMES)
def test_two_processes_that_were_ended_and_resumed_equal_two_that_were_not(
    place: tuple[str, int], number: int, rank: int | None, status: int | None, two: Path, tmp_path: Path
) -> None:
    log = in_processes(*WORDS, folder(tmp_path), *TWO, *killer(*place, number=number, rank=rank), status=status)
    run = tmp_path / "version_0"
    if number == 15:
        assert f"continue with: mlemo resume {run} --trust kill" in log
        saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
        assert saved["global_step"] == 10, "they were asked in step 8, and agree in every tenth"
    in_processes("resume", str(run), "--trust=kill", "--trainer.callbacks=null")
    for name in ("best", "last"):
        first, second = (
            torch.load(path / "version_0" / "checkpoints" / f"{name}.ckpt", weights_only=True)
            for path in (two, tmp_path)
        )
        assert first["global_step"] == second["global_step"]
        assert first["thresholds"] == second["thresholds"]
        for key, tensor in first["state_dict"].items():
            assert torch.equal(tensor, second["state_dict"][key]), (name, key)
    for stage in ("val", "test"):
        assert results(two, stage) == results(tmp_path, stage)
    predictions = [(path / "version_0" / "predictions_test.csv").read_bytes() for path in (two, tmp_path)]
    assert predictions[0] == predictions[1]
