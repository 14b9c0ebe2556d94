"""Texts and labels with markup, escape sequences, broken Unicode and millions of characters, in every command."""

from __future__ import annotations

import io
import json
import logging
import re
import resource
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mlemo.cli import main
from mlemo.cli.entry import HELP

ODD = {
    "closing markup": "so happy [/s] today",
    "markup": "[red]so[/red] angry [link=http://a.b]here[/link]",
    "colour": "so \x1b[31mhappy\x1b[0m",
    "title": "\x1b]0;owned\x07 so happy",
    "other controls": "so\x9b31m happy\x7f\x08\x0b",
    "carriage return": "so happy\rnot at all",
    "half of a pair": "so happy \ud83d today \udcff",
    "NUL": "so\x00 happy",
    "bidirectional": "\u202eso happy\u202c يوم",
    "link": "[so](http://a.b) | happy",
    "only controls": "\x1b\x07",
    "long word": "a" * 300_000,
}
LONG = "so happy and angry " * 520_000  # 10 MB
LABELS = ["joy [/s]", "an\x1b[31mger", "$fe_ar$ | <b>", "sad\rness"]
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
#: Of them those that a text file may hold.
WRITABLE = [text for text in ODD.values() if not re.search("[\x00\ud800-\udfff]", text)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over odd texts and labels, among them one text of 10 MB."""
    folder = tmp_path_factory.mktemp("odd")
    texts = [*WRITABLE, LONG, *(f"{word} {number}" for number in range(20) for word in ("so happy", "so angry"))]
    rows = {"text": texts} | {name: [(row + n) % 2 for row in range(len(texts))] for n, name in enumerate(LABELS)}
    pd.DataFrame(rows).to_json(folder / "rows.jsonl", orient="records", lines=True)
    words = ["fit", "--data=TextFiles", f"--data.train={folder / 'rows.jsonl'}", f"--data.labels={json.dumps(LABELS)}"]
    words += ["--model=TransformerClassifier", "--model.encoder=FromScratch", "--model.encoder.layers=1"]
    words += ["--model.encoder.width=16", "--model.encoder.heads=2", "--model.encoder.max_positions=64"]
    words += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    words += ["--results.resamples=20", f"--trainer.logger.save_dir={folder}", "--trainer.logger.version=run"]
    began = time.process_time()
    main(
        [*words, "--trainer.logger=TensorBoardLogger", f"--trainer.logger.save_dir={folder}", "--trainer.logger.name="]
    )
    assert time.process_time() - began < 60
    (found,) = folder.rglob("best.ckpt")
    return found.parent.parent


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "raiseExceptions", False)  # handlers that hold the captured stderr of another test


def clean(captured: object) -> str:
    """What a terminal was given, which holds no control character."""
    output = captured.out + captured.err  # type: ignore[attr-defined]  # of capsys
    assert not RAW.search(output)
    return output


def test_classify_words_of_the_command_line(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # without colors
    words = ["classify", "--ckpt", str(run), "--", *ODD.values()]
    results = main(words)
    assert [result.text for result in results] == list(ODD.values())
    output = clean(capsys.readouterr())
    for shown in (
        "so happy [/s]",
        "[red]so[/red]",
        r"so \x1b[31mhappy",
        r"\x9b31m",
        r"happy\x0dnot",
        r"\ud83d",
        r"so\x00",
        "[so]",
    ):
        assert shown in output
    assert r"an\x1b[31mger" in output
    assert len(output) < 20_000

    main(["classify", "--json", *words[1:]])
    lines = clean(capsys.readouterr()).splitlines()
    found = [json.loads(line.encode()) for line in lines]
    assert [one["text"] for one in found] == list(ODD.values())
    assert [list(one["probabilities"]) for one in found] == [LABELS] * len(ODD)


def test_classify_a_file_and_the_standard_input(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for text in ODD.values() if not re.search("[\ud800-\udfff]", text)]
    content = "\n".join(texts).encode()
    (tmp_path / "texts.txt").write_bytes(content)
    main(["classify", "--ckpt", str(run), "--file", "texts.txt"])
    by_file = clean(capsys.readouterr()).splitlines()
    assert [json.loads(line)["text"] for line in by_file] == texts
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.replace(b"\n", b"\r\n")), encoding="ascii"))
    main(["classify", "--ckpt", str(run)])
    assert clean(capsys.readouterr()).splitlines() == by_file
    (tmp_path / "texts.txt").write_bytes(content + b"\nso \xff")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content + b"\nso \xff"), encoding="ascii"))
    for source in (["--file", "texts.txt"], []):
        main(["classify", *source, "--ckpt", str(run)])
        assert f"row {len(texts) + 1}: text has byte 0xff, which is not utf-8" in clean(capsys.readouterr())
    with pytest.raises(SystemExit):
        main(["explain", "--file", "texts.txt", "--ckpt", str(run)])
    assert f"texts.txt:{len(texts) + 1}: byte 0xff is not UTF-8" in clean(capsys.readouterr())


def test_a_line_of_ten_megabytes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long.txt").write_text(f"so happy\n{LONG}\n{'é' * 10_000_000}\n", encoding="utf-8")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    main(["classify", "--ckpt", str(run), "--file", "long.txt"])
    lines = clean(capsys.readouterr()).splitlines()
    assert [len(json.loads(line)["text"]) for line in lines] == [8, len(LONG), 10_000_000]
    monkeypatch.setattr("mlemo.reporting.explanations.explain.MOST_WORDS", 20)
    main(["explain", "--ckpt", str(run), "--file", "long.txt", "--neighbors=0", "--examples=1"])
    output = clean(capsys.readouterr())
    assert "Text 2: its first 20 words are explained" in output
    assert "Text 3: its first 1 words are explained (100,000 of 10,000,000 characters)" in output
    assert time.process_time() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KB


def test_explain(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = main(["explain", "--ckpt", str(run), "--", *list(ODD.values())[2:9]])
    clean(capsys.readouterr())
    for file in page.parent.glob("*.html"):
        assert "<b>" not in file.read_text(encoding="utf-8")
    assert {"texts.html", "neighbors.csv", "errors.csv"} <= {file.name for file in page.parent.iterdir()}


def test_init(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run.parent / "rows.jsonl"
    file = main(["init", str(rows), "--output=odd.yaml"])
    clean(capsys.readouterr())
    assert isinstance(file, Path)
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))["data"]["init_args"]
    assert settings["labels"] == LABELS
    assert settings["text_column"] == "text"


def test_describe(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run.parent / "rows.jsonl"
    texts = pd.read_json(rows, lines=True)
    twice = pd.concat([texts, texts.assign(**{LABELS[0]: 1 - texts[LABELS[0]]})])  # every text has two label sets
    twice.to_json("twice.jsonl", orient="records", lines=True)
    page = main(["describe", "--data=TextFiles", "--data.train=twice.jsonl", f"--data.labels={json.dumps(LABELS)}"])
    clean(capsys.readouterr())
    assert isinstance(page, Path)
    found = json.loads(page.with_name("description.json").read_text())
    assert found["repeats"]["conflicting_labels"] == {LABELS[0]: texts["text"].nunique()}
    content = page.read_text(encoding="utf-8")
    assert "$fe_ar$ | &lt;b&gt;" in content
    assert "(300,000 characters)" in content
    assert len(content) < 10**6  # of the text of 10 MB only the beginning is on it


def test_test_and_compare(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(run / "checkpoints" / "best.ckpt")
    main(["test", "--ckpt_path", checkpoint, f"--trainer.logger.save_dir={tmp_path}"])
    clean(capsys.readouterr())
    names = ["[red]", "a\x1b[31mb", "[a](b)|", "c\rd", "e\x07"]
    main(["compare", *(f"{name}={run}" for name in names), "--resamples=20", "--output=table.md"])
    output = clean(capsys.readouterr())
    assert "diff: from [red]" in output
    assert r"a\x1b[31mb" in output
    lines = Path("table.md").read_text(encoding="utf-8").splitlines()
    assert r"| jaccard | [a\](b)\| | " in lines[4]
    assert len({re.sub(r"\\.", "", line).count("|") for line in lines[:7]}) == 1


def test_export_and_serve(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvicorn")
    from mlemo.inference import load
    from mlemo.serving import server

    folder = main(["export", str(run), "--output", "ex\x1b[31mported"])
    expected = load(run)(list(ODD.values()))
    assert load(folder)(list(ODD.values())) == expected
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert not RAW.search(card)
    assert r"joy [/s]" in card
    monkeypatch.setattr(server.uvicorn.Server, "run", lambda self, sockets: None)
    main(["serve", str(folder), "--port", "0"])
    clean(capsys.readouterr())


def test_the_help_lists_no_command_that_this_module_leaves_out() -> None:
    commands = re.findall(r"^  (\w+)  ", HELP, re.MULTILINE)
    # no texts of users are read; names are escaped, see their tests
    others = {"ensemble", "reproduce", "report", "leaderboard", "sweep", "rules", "selection", "list"}
    here = {"fit", "validate", "test", "predict", "init", "describe", "classify", "explain", "compare", "resume"}
    assert set(commands) - others <= here | {"export", "serve"}
