"""Mistakes of a user, each as a whole command: at most three lines, the last word on it in the first, status 2."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlemo.cli import main, script
from mlemo.utils.errors import short_error

FIXTURES = Path(__file__).parents[1] / "data"
SIZES = ["--data.size=24", "--data.val_size=12", "--data.test_size=12"]
ENCODER = ["--model.encoder=FromScratch", "--model.encoder.layers=1", "--model.encoder.width=16"]
ENCODER += ["--model.encoder.heads=2", "--model.encoder.vocabulary=200"]
TRAINER = [
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.logger=false",
]
FIT = ["fit", *SIZES, "--model=TransformerClassifier", *ENCODER, *TRAINER]
FILES = ["fit", "--data=TextFiles", "--model=TransformerClassifier", *ENCODER, *TRAINER]

# what is wrong -> words of the command, and what the message must name
FAULTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown command": (["fitt"], ("fitt", "did you mean 'fit'")),
    "misspelled setting of the model": ([*FIT, "--model.encodr=x"], ("model.encodr", "did you mean encoder?")),
    "misspelled setting of a part": (
        [*FIT, "--model.optimization.learning_rat=1"],
        ("model.optimization.learning_rat", "did you mean learning_rate"),
    ),
    "misspelled setting of a loss by its short name": (
        [*FIT, "--model.loss=FocalLoss", "--model.loss.gama=3"],
        ("model.loss.gama: FocalLoss has no such setting; did you mean gamma?",),
    ),
    "misspelled setting of the trainer": ([*FIT, "--trainer.acelerator=cpu"], ("did you mean trainer.accelerator",)),
    "misspelled top-level setting": ([*FIT, "--chekpoint.monitor=x"], ("did you mean checkpoint.monitor",)),
    "word for a number": ([*FIT, "--trainer.max_epochs=many"], ("trainer.max_epochs", "expected int", "'many'")),
    "word for a rate": ([*FIT, "--model.optimization.learning_rate=high"], ("expected float", "'high'")),
    "unknown precision": ([*FIT, "--trainer.precision=7"], ("trainer.precision", "'bf16-mixed'", "'7'")),
    "unknown model": (["fit", "--model=BertWLD"], ("BertWLD", "did you mean BertWDL?")),
    "unknown corpus": (["fit", "--data=GoEmotion", "--model=BertWDL"], ("GoEmotion", "did you mean GoEmotions")),
    "unknown loss": ([*FIT, "--model.loss=FocalLos"], ("FocalLos", "did you mean FocalLoss")),
    "class of another kind": ([*FIT, "--model.loss=BertWDL"], ("model.loss: BertWDL is a class of another kind",)),
    "unknown callback": ([*FIT, "--trainer.callbacks=LabelShufle"], ("LabelShufle", "did you mean LabelShuffle?")),
    "unknown metric of a rule": (
        [*FIT, "--thresholds.rule=PerClassThreshold", "--thresholds.rule.metric=f2"],
        ("thresholds.rule.metric", "'f1', 'micro_f1', 'jaccard'", "'f2'"),
    ),
    "missing config file": ([*FIT, "--config=absent.yaml"], ("absent.yaml",)),
    "unknown callback in a list": (
        [*FIT, "--trainer.callbacks=[{class_path: LabelShufle}]"],
        ("LabelShufle'; did you mean LabelShuffle?\n",),
    ),
    "no accumulated batch": (
        [*FIT, "--trainer.accumulate_grad_batches=0"],
        ("trainer.accumulate_grad_batches must be at least 1, found 0",),
    ),
    "negative clipping": ([*FIT, "--trainer.gradient_clip_val=-1"], ("trainer.gradient_clip_val", "found -1")),
    "training without batches": ([*FIT, "--trainer.limit_train_batches=0"], ("limit_train_batches is 0",)),
    "more processes than processors": ([*FIT, "--trainer.devices=999"], ("trainer.devices=999", "999 processes")),
    "test without a checkpoint": (["test"], ("`mlemo test` needs a checkpoint", "--ckpt_path")),
    "config with a key twice": (
        [*FIT, "--config={tmp}/twice.yaml"],
        ("twice.yaml:3:1: ", "the key 'trainer' is given twice, first in line 1"),
    ),
    "study that is no UTF-8": (["reproduce", "{tmp}/latin.yaml", "--scale=tiny"], ("latin.yaml: not valid YAML",)),
    "sweep that is no UTF-8": (["sweep", "{tmp}/latin.yaml"], ("latin.yaml: not valid YAML",)),
    "sweep that is no YAML": (["sweep", "{tmp}/broken.yaml"], ("broken.yaml:3:",)),
    "config that is no YAML": (
        [*FIT, "--config={tmp}/broken.yaml"],
        ("broken.yaml:3:", "not valid YAML"),
    ),
    "config that is a list": ([*FIT, "--config={tmp}/list.yaml"], ("list.yaml: found a list, expected settings",)),
    "config that is empty": ([*FIT, "--config={tmp}/empty.yaml"], ("empty.yaml: found nothing, expected settings",)),
    "config that is no text": ([*FIT, "--config={tmp}/cut.ckpt"], ("cut.ckpt: ", "not valid YAML")),
    "config that is a folder": ([*FIT, "--config={tmp}"], ("config", "not a file")),
    "monitor that is not there": (
        [*FIT, "--early_stopping.monitor=val/macro_f2"],
        ("early_stopping.monitor", "did you mean val/macro_f1"),
    ),
    "negative learning rate": ([*FIT, "--model.optimization.learning_rate=-1"], ("learning_rate", "found -1")),
    "encoder without layers": ([*FIT, "--model.encoder.layers=0"], ("encoder layers must be at least 1, found 0",)),
    "heads that do not divide the width": ([*FIT, "--model.encoder.heads=3"], ("heads must divide the width",)),
    "negative epochs": ([*FIT, "--trainer.max_epochs=-5"], ("max_epochs", "-5")),
    "word that belongs to nothing": ([*FIT, "stray"], ("unrecognized arguments: stray",)),
    "optimizer that is not there": (
        [*FIT, "--model.optimization.optimizer=adm"],
        ("model.optimization.optimizer", "'adam'"),
    ),
    "mode that is none": ([*FIT, "--early_stopping.mode=up"], ("early_stopping.mode", "'min', 'max'", "'up'")),
    "config with an unknown key": ([*FIT, "--config={tmp}/unknown.yaml"], ("modle.class_path", "did you mean model?")),
    "empty batches": ([*FIT, "--data.batch_size=0"], ("data.batch_size must be at least 1, found 0",)),
    "warm-up above one": ([*FIT, "--model.optimization.warmup=2"], ("model.optimization.warmup", "found 2")),
    "unknown language": ([*FIT, "--data.language=klingon"], ("data.language", "klingon", "english")),
    "encoder that is not there": ([*FIT, "--model.encoder={tmp}/none"], ("encoder", "none", "neither a local folder")),
    "folder of data that is not there": (
        ["fit", "--data=GoEmotions", "--data.data_dir={tmp}/none", "--model=TransformerClassifier", *ENCODER, *TRAINER],
        ("none is no folder", "train.tsv"),
    ),
    "folder of data without its files": (
        ["fit", "--data=SemEval2018", "--data.data_dir={tmp}", "--model=TransformerClassifier", *ENCODER, *TRAINER],
        ("2018-E-c-En-train.txt",),
    ),
    "file of data that is not there": (
        [*FILES, "--data.data_dir={tmp}", "--data.train=no.csv", "--data.labels=[joy]"],
        ("no.csv",),
    ),
    "label without a column": (
        [*FILES, "--data.data_dir={files}", "--data.train=train.csv", "--data.labels=[bliss]"],
        ("bliss", "train.csv"),
    ),
    "value that is no label": (
        [*FILES, "--data.data_dir={tmp}", "--data.train=bad.csv", "--data.labels=[joy]"],
        ("bad.csv", "maybe"),
    ),
    "no GPU": ([*FIT, "--trainer.accelerator=gpu"], ("gpu",)),
    "text model over a table": (
        [
            *["fit", "--data=Mulan", "--data.name=scene", "--data.data_dir={mulan}"],
            *["--model=TransformerClassifier", *ENCODER, *TRAINER],
        ],
        ("texts",),
    ),
    "model of vectors over texts": (["fit", *SIZES, "--model=FrozenHead", *TRAINER], ("model.features",)),
    "prompt shuffling without a prompt": ([*FIT, "--trainer.callbacks=LabelShuffle"], ("LabelShuffle", "no prompt")),
    "checkpoint that is not there": (["test", "--ckpt_path={tmp}/no.ckpt"], ("no.ckpt",)),
    "checkpoint that is cut short": (["test", "--ckpt_path={tmp}/cut.ckpt"], ("cut.ckpt", "cannot be read")),
    "training that diverges": (
        [*FIT, "--model.optimization.learning_rate=1e30", "--model.optimization.warmup=0", "--trainer.max_epochs=4"],
        ("training loss is", "epoch", "batch", "learning rate"),
    ),
    "classify without a checkpoint": (["classify", "--ckpt={tmp}/no.ckpt", "a text"], ("no.ckpt",)),
    "compare without a run": (["compare", "{tmp}/norun"], ("norun",)),
    "reproduce without a study": (["reproduce", "wdl-loses", "--scale=tiny"], ("wdl-loses",)),
    "report without a study": (["report", "wdl-loses", "--scale=tiny"], ("wdl-loses",)),
    "explain without a run": (["explain", "--ckpt={tmp}/norun", "a text"], ("norun",)),
    "sweep without a file": (["sweep", "{tmp}/nosweep.yaml"], ("nosweep.yaml",)),
}


@pytest.fixture
def fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    (tmp_path / "broken.yaml").write_text("model:\n  class_path: BertWDL\n  init_args: prompt: words\n")
    (tmp_path / "list.yaml").write_text("- model\n")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    (tmp_path / "unknown.yaml").write_text("modle:\n  class_path: BertWDL\n")
    (tmp_path / "twice.yaml").write_text("trainer:\n  max_epochs: 1\ntrainer:\n  max_epochs: 2\n")
    (tmp_path / "latin.yaml").write_bytes("title: Gef\u00fchle\n".encode("latin-1"))
    (tmp_path / "bad.csv").write_text("text,joy\nhow lovely,1\nnot today,maybe\n")
    (tmp_path / "cut.ckpt").write_bytes(b"PK\x03\x04 cut \xff short")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "raiseExceptions", False)  # handlers that hold the captured stderr of another test
    names = {"{tmp}": str(tmp_path), "{files}": str(FIXTURES / "files"), "{mulan}": str(FIXTURES / "mulan")}

    def filled(word: str) -> str:
        for name, value in names.items():
            word = word.replace(name, value)
        return word

    return filled


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_in_three_lines_and_status_2(
    fault: str, fill: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    words, named = FAULTS[fault]
    with pytest.raises(SystemExit) as caught:
        script([fill(word) for word in words])
    assert caught.value.code == 2
    output = capsys.readouterr().err
    assert "Traceback" not in output
    lines = output.splitlines()
    own = [place for place, line in enumerate(lines) if line.startswith("mlemo")]
    assert own, output
    assert len(lines) - own[0] <= 3, output
    message = "\n".join(lines[own[0] :])
    for name in named:
        assert name in message
    assert "Union subtypes" not in message
    assert "NestedArg" not in message


def test_debug_shows_where_an_error_was_raised(fill: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match="found 0"):
        script([*FIT, "--data.batch_size=0", "--debug"])


def test_an_error_that_is_not_the_users_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("a mistake of the code")

    monkeypatch.setattr("mlemo.training.run", fail)
    with pytest.raises(ZeroDivisionError):
        script(["fit"])


def test_callers_in_python_get_the_exception(fill: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match="batch_size must be"):
        main([*FIT, "--data.batch_size=0"])


def test_the_switches_of_lightning_for_bar_logger_and_table_work(
    fill: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*FIT, "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"])
    output = capsys.readouterr()
    assert "epoch 1/1" not in output.err
    assert "parameters" not in output.out
    assert "macro_f1" in output.out


def test_messages_that_say_nothing_about_the_run_are_left_out(tmp_path: Path) -> None:
    # a process of its own: the handlers of the libraries write to the stderr that they found when they were imported
    words = [word for word in FIT if word != "--trainer.logger=false"]
    done = subprocess.run(
        [sys.executable, "-m", "mlemo", *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    assert "GPU available" in output
    for noise in ("TPU", "litlogger", "FLOPs", "Restoring states", "Trainer already configured"):
        assert noise not in output


@pytest.mark.parametrize("command", ["fit", "test", "explain", "compare", "reproduce", "report", "sweep"])
def test_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    code = f"import sys, mlemo.cli; mlemo.cli.main([{command!r}, '--help']); sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"usage: mlemo {command}" in done.stdout
    assert len(done.stdout.splitlines()) < 60


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "a.csv: No such file or directory"),
        (ValueError(""), "ValueError"),
        (ValueError("one\n two\n\nthree"), "one\ntwo three"),
        (ValueError("x" * 5000), "x" * 599 + "…"),
    ],
)
def test_an_exception_in_two_lines(error: Exception, expected: str) -> None:
    assert short_error(error) == expected


def test_a_closed_pipe_ends_a_command_quietly(tmp_path: Path) -> None:
    """As `mlemo init rows.csv | head -n 0`, and the work of the command is done."""
    rows = "".join(f"so {word} today,{number % 2}\n" for number in range(60) for word in ("glad", "sad"))
    (tmp_path / "rows.csv").write_text(f"text,joy\n{rows}")
    for words in (["--help"], ["init", "rows.csv"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "mlemo", *words], stdout=write, stderr=subprocess.PIPE, text=True, check=False,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        os.close(write)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "rows.yaml").is_file()
