"""`mlemo init`: from an invented file as a spreadsheet saves it to a trained model, by what was printed alone."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mlemo.cli import main
from mlemo.data import Corpus, TextFiles
from mlemo.labels import LabelSpace

MESSAGES = runpy.run_path(str(Path(__file__).with_name("make_messages.py")))
LABELS = list(MESSAGES["LABELS"])
QUICK = ["--trainer.enable_progress_bar=false", "--trainer.max_epochs=1", "--figures.every_n_epochs=0"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The lines by their headings, those without one with the heading before."""
    lines: dict[str, str] = {}
    heading = ""
    for line in capsys.readouterr().out.splitlines():
        heading = line[:12].strip() or heading
        lines[heading] = f"{lines[heading]}\n{line[12:]}" if heading in lines else line[12:]
    return lines


def words(line: str) -> list[str]:
    """The arguments of a printed command."""
    parts = shlex.split(line)
    return parts[parts.index("mlemo") + 1 :]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A tiny BERT with random weights in a folder."""
    from transformers import AutoModel, BertConfig, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    folder = tmp_path / "tiny encoder"
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64,
    )  # fmt: skip
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def test_a_file_becomes_a_trained_model_by_what_is_printed(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MESSAGES["write"](Path("mensajes de mayo.csv"))
    assert main(["init", "mensajes de mayo.csv"]) == Path("mensajes de mayo.yaml")
    lines = printed(capsys)
    assert lines["file"].endswith("cells delimited by ';'")
    assert lines["rows"].splitlines() == [
        "1,500", "empty columns behind the last one with a name skipped: 1", "blank rows skipped: 2",
    ]  # fmt: skip
    assert lines["texts"].startswith("column 'mensaje'")
    assert (lines["ids"], lines["not read"]) == ("column 'id'", "columns 'canal'")
    table = MESSAGES["rows"]()[1:]
    counts = {label: sum(row[3 + place] == "x" for row in table) for place, label in enumerate(LABELS)}
    assert ", ".join(f"{label} {count}" for label, count in counts.items()) in lines["labels"]
    blanks = len(table) * len(LABELS) - sum(counts.values())
    assert lines["blanks"].startswith(
        f"{blanks:,} empty label cells, read as 0, as the columns with empty cells have no"
    )
    assert lines["language"].startswith("Spanish (")
    texts = [row[2] for row in table]
    assert lines["duplicates"].startswith(f"{len(texts) - len(set(texts)):,} rows repeat the text of another row, ")
    sets: dict[str, set[tuple[str, ...]]] = {}
    for row in table:
        sets.setdefault(row[2], set()).add(tuple(row[3:]))
    differing = sum(len(found) > 1 for found in sets.values())
    assert differing > 5
    assert lines["conflicts"].startswith(f"{differing} texts occur with different labels: ")
    assert lines["model"].startswith("Linear: no encoder is on this machine")

    command, option, file = words(lines["next"])
    assert (command, option, file) == ("fit", "--config", lines["wrote"])
    cli: Any = main([command, option, file, *QUICK])
    corpus = cli.datamodule.corpus("all")
    assert sorted(corpus.ids) == sorted(row[0] for row in table)
    marks = {row[0]: [float(mark == "x") for mark in row[3:]] for row in table}
    assert all(marks[identifier] == row for identifier, row in zip(corpus.ids, corpus.labels.tolist()))
    assert corpus.mask.all()
    results = json.loads(Path("runs/version_0/results_test.json").read_text())
    assert results["micro_f1"] > 0.9  # the phrases give the labels away

    # and from there: the rows of a file of the same form, a folder for others, and the same rows from that
    after = dict(re.findall(r"^(a file|export): +(.+)$", capsys.readouterr().out, re.MULTILINE))
    Path(lines["file"].split(",")[0]).rename("new.csv")
    classify = words(after["a file"])
    assert classify[classify.index("--text_column") + 1] == "mensaje"
    main(classify)
    labeled = Path(classify[-1]).read_bytes()
    assert labeled.count(b"T-0") == len(table)
    exported = main(words(after["export"]))
    (line,) = re.findall(r"^classify: +(.+)$", capsys.readouterr().out, re.MULTILINE)
    assert str(exported) in words(line)
    main(["classify", "--ckpt", str(exported), *classify[3:], "--overwrite"])
    assert Path(classify[-1]).read_bytes() == labeled


@pytest.mark.parametrize(
    ("name", "encoding", "setting"),
    [("m.csv", "utf-8", None), ("m.csv", "cp1252", "cp1252"), ("m.csv", "utf-16", None), ("m.xlsx", "", None)],
)
def test_every_way_to_save_the_file_gives_the_same_corpus(
    name: str, encoding: str, setting: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", str(MESSAGES["write"](Path(name), encoding))])
    assert ("a guess, as the file is not UTF-8" in printed(capsys)["file"]) == (setting is not None)
    settings = yaml.safe_load(Path("m.yaml").read_text(encoding="utf-8"))["data"]["init_args"]
    assert settings.get("encoding") == setting
    corpus = TextFiles(**settings, val=name, test=name).corpus("train")
    table = MESSAGES["rows"]()[1:]
    assert corpus.label_space.names == tuple(LABELS)
    assert corpus.texts == [row[2] for row in table]
    assert corpus.labels.tolist() == [[float(mark == "x") for mark in row[3:]] for row in table]


def test_a_frozen_encoder_with_a_head_on_a_cpu(
    encoder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    rows = [
        f"{'glad' if number % 2 else 'sad'} day {'long ' * number},{number % 2},{1 - number % 2}"
        for number in range(80)
    ]
    Path("few.csv").write_text("\n".join(["text,glad,sad", *rows]))
    main(["init", "few.csv", "--encoder", str(encoder), "--output", "a.yaml"])
    lines = printed(capsys)
    assert lines["model"].splitlines()[0].startswith("FrozenHead: 80 rows on a CPU")
    assert re.search(r"longest \d+ tokens of the encoder; [1-9]\d* texts are cut at 64 \(max_length\)", str(lines))
    assert re.match(r"about 1 min \(measured: [\d,]+ texts per second", lines["time"])
    written = yaml.safe_load(Path("a.yaml").read_text())
    assert written["model"]["init_args"]["features"]["init_args"]["encoder"] == str(encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # four validation rows of a day
        main([*shlex.split(lines["next"])[-3:], *QUICK])
    assert Path("runs/version_0/results_test.json").is_file()


@pytest.mark.parametrize(
    ("rows", "parameters", "gpu", "kind"),
    [
        (1_500, None, True, "Linear"),
        (1_500, 20e6, False, "FrozenHead"),
        (1_500, 20e6, True, "TransformerClassifier"),
        (2_500, 20e6, False, "TransformerClassifier"),
        (2_500, 300e6, False, "FrozenHead"),
        (2_500, 300e6, True, "Lora"),
    ],
)
def test_the_model_fits_size_and_hardware(
    rows: int, parameters: float | None, gpu: bool, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlemo.experiments import starter
    from mlemo.training.resolve import resolve

    encoder = None if parameters is None else starter.Encoder("some/encoder", int(parameters), here=False)
    corpus = Corpus(LabelSpace(["a"]), torch.ones(rows, 1), [""] * rows, ["a text"] * rows)
    with monkeypatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: gpu)
        made = starter.make_starter({"train": "a.csv", "labels": ["a"]}, corpus, encoder, "# head")
    assert made.kind == kind
    assert made.minutes.startswith("about 1 min (measured with 300 rows" if kind == "Linear" else "not measured")
    (tmp_path / "a.yaml").write_text(made.content)
    config = resolve(["--config", str(tmp_path / "a.yaml")])  # every setting exists
    assert config["data"]["init_args"]["labels"] == ["a"]
    assert config["model"]["class_path"].endswith("TransformerClassifier" if kind == "Lora" else kind)
    assert ("some/encoder" in made.content) == (encoder is not None)


def test_what_is_found_can_be_overridden(capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(
        f"m{number},title {number},the longer body of it {number},{number % 2},1,{number % 3}\n" for number in range(30)
    )
    Path("a.csv").write_text("key,title,body,joy,seen,author\n" + rows)
    words = ["init", "a.csv", "--text_column", "title", "body", "--labels", "joy", "--group_column", "author"]
    main([*words, "--output", "b.yaml"])
    settings = yaml.safe_load(Path("b.yaml").read_text())["data"]["init_args"]
    expected = {"text_column": ["title", "body"], "labels": ["joy"], "group_column": "author", "id_column": "key"}
    assert {key: settings[key] for key in expected} == expected
    assert printed(capsys)["not read"] == "columns 'seen'"


def test_an_existing_file_is_kept_unless_it_may_be_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text("text,joy\n" + "".join(f"text {number},{number % 2}\n" for number in range(20)))
    Path("a.yaml").write_text("mine")
    assert "a.yaml exists; give --overwrite to replace it" in refused(["init", "a.csv"], capsys)
    assert Path("a.yaml").read_text() == "mine"
    main(["init", "a.csv", "--overwrite"])
    assert yaml.safe_load(Path("a.yaml").read_text())["data"]["init_args"]["train"] == "a.csv"


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (None, [], "a.csv: no such file"),
        ("", [], "a.csv: the file is empty"),
        ("text,joy\n", [], "a.csv: no row after the header ['text', 'joy']"),
        ("text,note\na,b\nc,d\n", [], "a.csv: no column of labels is found: neither columns of 1 (or x) and 0"),
        ("text,joy\na,1\nc,0\n", ["--text_column", "body"], "no column 'body', found 'text', 'joy'"),
        ("text,joy\na,1\nc,0\n", ["--labels", "fear"], "no column 'fear', found 'text', 'joy'"),
        ("joy\n1\n0\n", [], "a.csv: no column of texts beside 'joy'"),
        ("text,joy\na,1\nb,maybe\n", ["--labels", "joy"], "a.csv:3: column 'joy' holds 'maybe', expected 0, 1 or"),
        ("text,joy\na,1\nb,0\n", ["--encoder", "./nothing"], "encoder './nothing' cannot be had"),
    ],
)
def test_faults(content: str | None, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        Path("a.csv").write_text(content)
    assert message in refused(["init", "a.csv", *words], capsys)
    assert not Path("a.yaml").exists()
