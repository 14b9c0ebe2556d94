"""`mlemo classify` of files: every row and column is kept, in order, whatever interrupts it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest
import torch
from lightning.pytorch import Trainer
from pyarrow import parquet

from cli import killed
from mlemo.classification import Summary
from mlemo.classification.job import rows_per_part
from mlemo.cli import main
from mlemo.inference import load
from mlemo.models import TransformerClassifier
from mlemo.nn.encoder import FromScratch
from mlemo.utils.hardware import has_bf16

LABELS = ("joy", "anger", "fear")
WORDS = [
    "we",
    "had",
    "such",
    "a",
    "good",
    "day",
    "and",
    "it",
    "rained",
    "on",
    "the",
    "old",
    "house",
    "by",
    "the",
    "sea",
]
TEXTS = [" ".join(WORDS[start : start + 1 + start % 7]) for start in range(14)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the checkpoint of a tiny model, some of whose probabilities are above one half."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    model = TransformerClassifier(LABELS, FromScratch(layers=1, width=16, heads=2, vocabulary=80, max_positions=64))
    model.build(lambda: TEXTS)
    torch.nn.init.normal_(model.encoder.embeddings.word_embeddings.weight)  # probabilities differ between texts
    torch.nn.init.normal_(model.head.weight)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(folder / "best.ckpt")
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def classify(run: Path) -> Callable[..., Any]:
    """Run the command with the tiny model."""
    return lambda *words: main(["classify", "--ckpt", str(run), *map(str, words)])


def write(path: str, rows: list[list[Any]], **settings: Any) -> None:
    with open(path, "w", newline="", encoding=settings.pop("encoding", "utf-8")) as file:
        csv.writer(file, **settings).writerows(rows)


def read(path: str, delimiter: str = ",") -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter))


def expected(run: Path, texts: list[str]) -> list[tuple[list[str], list[float]]]:
    """Labels and probabilities, one text at a time."""
    classifier = load(run)
    found = [classifier(text) for text in texts]
    return [(one.labels, list(one.probabilities.values())) for one in found]


# formats ---------------------------------------------------------------------------------------------------------


def test_a_table_keeps_its_columns_and_rows_in_order(run: Path, classify: Callable[..., Any]) -> None:
    texts = [*TEXTS[:3], 'quoted, with "quotes"', "two\nlines\r\nor three", TEXTS[5]]
    write("in.csv", [["id", "text", "labels"], *([f"00{row}", text, "gold"] for row, text in enumerate(texts))])
    summary = classify("--file", "in.csv", "--output", "out.csv")
    assert isinstance(summary, Summary)
    assert (summary.rows, summary.faulty, summary.without_text) == (6, 0, 0)
    header, *rows = read("out.csv")
    assert header == ["id", "text", "labels", "predicted_labels", "p_joy", "p_anger", "p_fear", "problem"]
    assert [row[:3] for row in rows] == [[f"00{row}", text, "gold"] for row, text in enumerate(texts)]
    decided = set()
    for row, (labels, probabilities) in zip(rows, expected(run, texts), strict=True):
        assert row[3] == ", ".join(labels)
        assert [float(cell) for cell in row[4:7]] == pytest.approx(probabilities, abs=1e-5)
        assert row[7] == ""
        decided.add(row[3])
    assert len(decided) > 1
    assert sorted(Path().iterdir()) == [Path("in.csv"), Path("out.csv")]


def test_a_table_of_the_same_suffix_keeps_its_delimiter(classify: Callable[..., Any]) -> None:
    write("in.csv", [["id", "text"], ["1", "so happy"]], delimiter=";")
    for target, delimiter in (("out.csv", ";"), ("out.tsv", "\t")):
        classify("--file", "in.csv", "--delimiter", ";", "--output", target, "--probabilities", "none")
        assert read(target, delimiter)[0] == ["id", "text", "labels", "problem"]


@pytest.mark.parametrize("source", ["csv", "tsv", "jsonl", "parquet", "txt"])
@pytest.mark.parametrize("target", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_becomes_every_other(source: str, target: str, run: Path, classify: Callable[..., Any]) -> None:
    table = {"text": TEXTS[:5]} if source == "txt" else {"id": list("abcde"), "text": TEXTS[:5]}
    frame = pd.DataFrame(table)
    path, result = f"in.{source}", f"out.{target}"
    if source == "txt":
        Path(path).write_text("\n".join(TEXTS[:5]))
    elif source in ("csv", "tsv"):
        frame.to_csv(path, sep={"csv": ",", "tsv": "\t"}[source], index=False)
    elif source == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    classify("--file", path, "--output", result)
    if target == "jsonl":
        found = pd.DataFrame([json.loads(line) for line in Path(result).read_text().splitlines()])
        labels = list(found["labels"])
        scores = [list(one.values()) for one in found["probabilities"]]
    else:
        found = parquet.read_table(result).to_pandas() if target == "parquet" else pd.read_csv(
            result, sep={"csv": ",", "tsv": "\t"}[target], keep_default_na=False
        )  # fmt: skip
        labels = [cell.split(", ") if isinstance(cell, str) and cell else list(cell) for cell in found["labels"]]
        scores = found[[f"p_{name}" for name in LABELS]].to_numpy().tolist()
    assert {name: list(found[name]) for name in table} == table
    for own_labels, own_scores, (others, probabilities) in zip(labels, scores, expected(run, TEXTS[:5]), strict=True):
        assert own_labels == others
        assert own_scores == pytest.approx(probabilities, abs=1e-5)


def test_parquet_keeps_types(classify: Callable[..., Any]) -> None:
    schema = pyarrow.schema(
        [
            ("number", pyarrow.int16()),
            ("text", pyarrow.large_string()),
            ("when", pyarrow.timestamp("ns", "UTC")),
            ("tags", pyarrow.list_(pyarrow.string())),
        ]
    )
    rows = [
        {"number": row, "text": text, "when": pd.Timestamp(row, tz="UTC"), "tags": ["a", str(row)]}
        for row, text in enumerate(TEXTS[:4])
    ]
    table = pyarrow.Table.from_pylist([*rows, dict.fromkeys(schema.names)], schema=schema)
    parquet.write_table(table, "in.parquet")
    classify("--file", "in.parquet", "--output", "out.parquet", "--probabilities", "none")
    found = parquet.read_table("out.parquet")
    assert found.select(schema.names).equals(table)
    assert found.schema.names == [*schema.names, "labels", "problem"]
    assert found["problem"].to_pylist() == [None] * 4 + ["no text"]
    assert found["labels"].to_pylist()[4] is None


def test_json_lines_with_different_keys(classify: Callable[..., Any]) -> None:
    rows = [{"text": "a day", "n": 1}, {"text": "the sea", "deep": {"labels": [1.5, None]}}, {"labels": 0, "text": "a"}]
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    classify("--file", "in.jsonl", "--output", "out.jsonl", "--probabilities", "decided")
    found = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    for row, result in zip(rows, found, strict=True):
        assert {key: result[key] for key in row} == row
        assert list(result["probabilities"]) == result["predicted_labels"]
    classify("--file", "in.jsonl", "--output", "out.csv", "--probabilities", "none")
    assert read("out.csv")[2][:4] == ["the sea", "", '{"labels": [1.5, null]}', ""]


def test_settings_of_tables(run: Path, classify: Callable[..., Any]) -> None:
    write("in.txt", [["title", "body"], ["so", "größe"], ["", "day"]], delimiter=";", encoding="latin-1")
    classify(
        *["--file", "in.txt", "--delimiter", ";", "--encoding", "latin-1", "--text_column", "title,body"],
        *["--output", "out.tsv", "--probabilities", "decided", "--separator", "|", "--threshold-rule", "0"],
    )
    header, first, second = read("out.tsv", "\t")
    assert header[:3] == ["title", "body", "labels"]
    assert first[:3] == ["so", "größe", "joy|anger|fear"]
    assert second[2:6] == [
        "joy|anger|fear",
        *(pytest.approx(f"{value:.6g}") for value in expected(run, ["day"])[0][1]),
    ]
    assert [float(cell) for cell in first[3:6]] == pytest.approx(expected(run, ["so\ngröße"])[0][1], abs=1e-5)
    Path("quotes.tsv").write_text('text\tid\n"so it\t1\nsaid "yes"\t2\n')
    summary = classify("--file", "quotes.tsv", "--no-quotes", "--output", "quotes.csv")
    assert summary.faulty == 0
    assert [row[:2] for row in read("quotes.csv")[1:]] == [['"so it', "1"], ['said "yes"', "2"]]


# faulty rows -----------------------------------------------------------------------------------------------------


def test_faulty_rows_are_kept_and_reported(classify: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    content = (
        b"id,text\n1,a day\n2\n3,the,sea\n\n4,  \n"
        b'5,"never closed\n6,the old house\n7,"closed" twice"\n8,caf\xe9\n9,"two\nlines"\n'
    )
    Path("in.csv").write_bytes(content)
    summary = classify("--file", "in.csv", "--output", "out.csv")
    assert (summary.rows, summary.without_text, summary.faulty) == (10, 2, 5)
    with open("out.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[:2] for row in rows] == [
        ["1", "a day"],
        ["2", ""],
        ["3", "the,sea"],
        ["", ""],
        ["4", "  "],
        ["5", '"never closed'],
        ["6", "the old house"],
        ["7", '"closed" twice"'],
        ["8", "caf\udce9"],
        ["9", "two\nlines"],
    ]
    assert b"8,caf\xe9," in Path("out.csv").read_bytes()
    problems = [row[-1] for row in rows]
    assert problems[1:5] == ["1 columns, expected 2", "3 columns, expected 2", "no text", "no text"]
    assert [problem.split(":")[0] for problem in (problems[5], problems[7])] == ["broken quoting"] * 2
    assert problems[8] == "text has byte 0xe9, which is not utf-8"
    assert [bool(row[3]) for row in rows] == [not problem for problem in problems]
    printed = capsys.readouterr().err
    assert "10 rows, of which 7 were not classified: 2 without text, 5 faulty" in printed
    assert "row 3: 3 columns, expected 2" in printed


def test_faulty_json_lines(classify: Callable[..., Any]) -> None:
    lines = ['{"text": "a day"}', "{oops", "[1, 2]", "", '{"text": 5}', '{"text": null, "id": 1}', '{"id": 2}']
    Path("in.jsonl").write_text("\n".join(lines) + "\n")
    summary = classify("--file", "in.jsonl", "--output", "out.jsonl")
    assert (summary.rows, summary.faulty, summary.without_text) == (7, 3, 3)
    found = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [one["labels"] is None for one in found] == [False] + [True] * 6
    assert (found[1]["text"], found[2]["text"], found[4]["text"], found[6]["id"]) == ("{oops", "[1, 2]", 5, 2)
    assert found[1]["problem"].startswith("not JSON")
    assert found[2]["problem"] == "found [1, 2], expected a JSON object"
    assert found[4]["problem"] == "text is 5, expected a text"
    assert "problem" not in found[0]


def test_texts_of_parquet_that_are_not_utf8(classify: Callable[..., Any]) -> None:
    texts = pyarrow.array([b"a day", b"caf\xe9", None]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": texts, "id": [1, 2, 3]}), "in.parquet")
    summary = classify("--file", "in.parquet", "--output", "out.parquet")
    assert (summary.faulty, summary.without_text) == (1, 1)
    assert parquet.read_table("out.parquet")["text"].to_pylist() == ["a day", "caf\ufffd", None]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--file", "no.csv"], "no.csv: no such file"),
        (["--file", "in.xls"], "in.xls: expected a file of .txt, .csv"),
        (["--file", "in.csv", "--text_column", "body"], "no column 'body' with texts among ['id', 'text']"),
        (["--file", "in.csv", "--output", "in.csv"], "--output in.csv is the input"),
        (["--file", "in.csv", "--output", "out.xml"], "--output out.xml: expected a file of .csv"),
        (["--file", "in.csv", "--output", "out.csv", "--encoding", "utf-9"], "no encoding is named 'utf-9'"),
        (["--file", "in.csv", "--output", "out.csv", "--separator", "n"], "the label 'anger' contains the separator"),
        (["--file", "in.csv", "--output", "out.csv", "--shard", "3/2"], "expected I/N with I from 1 to N"),
        (["--file", "in.csv", "--output", "out.csv", "--delimiter", "ab"], "must be one character, found 'ab'"),
        (["--file", "in.csv", "--shard", "1/2"], "--shard needs --output"),
        (["--file", "in.csv", "a text"], "expected sentences or --file, found both"),
        (["--output", "out.csv", "a text"], "--output needs --file"),
        (["--delimiter", ";"], "the standard input has a text per line; a table needs --file"),
        (["--file", "twice.csv"], "the columns ['text'] occur more than once in the header"),
        (["--file", "empty.csv"], "expected a header, found the file is empty"),
        (["--threshold-rule", "high", "a text"], "expected a number within [0, 1], or a rule of the checkpoint (none)"),
        (["--file", "in.parquet"], "in.parquet: not a readable Parquet file"),
    ],
)
def test_what_cannot_be_done_ends_with_a_message(
    words: list[str], message: str, classify: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("in.csv", "in.xls", "in.parquet"):
        Path(name).write_text("id,text\n1,a day\n")
    Path("twice.csv").write_text("text,text\n")
    Path("empty.csv").touch()
    with pytest.raises(SystemExit) as error:
        classify(*words)
    assert error.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("out.csv").exists()


# parts, shards and kills -----------------------------------------------------------------------------------------


def big(rows: int = 100) -> list[str]:
    texts = [f"{TEXTS[row % len(TEXTS)]} {row}" for row in range(rows)]
    write("in.csv", [["id", "text"], *([row, text] for row, text in enumerate(texts))])
    return texts


def test_shards_in_order_are_the_whole(classify: Callable[..., Any]) -> None:
    big()
    classify("--file", "in.csv", "--output", "whole.jsonl")
    sizes = []
    for shard in (1, 2, 3):
        classify("--file", "in.csv", "--output", f"{shard}.jsonl", "--shard", f"{shard}/3")
        sizes.append(len(Path(f"{shard}.jsonl").read_text().splitlines()))
    assert "".join(Path(f"{shard}.jsonl").read_text() for shard in (1, 2, 3)) == Path("whole.jsonl").read_text()
    assert sizes == [32, 32, 36]


@pytest.mark.parametrize(
    ("event", "call"),
    [
        ("open", 1),
        ("os.rename", 1),
        ("os.rename", 4),
        ("open", 9),
        ("os.rename", 9),
        ("os.remove", 1),
        ("os.remove", 4),
    ],
)
def test_a_killed_job_continues(
    event: str, call: int, run: Path, classify: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    big()
    words = ["classify", "--ckpt", str(run), "--file", "in.csv", "--output", "out.csv"]
    main([*words[:-1], "unbroken.csv"])
    assert killed.run(words, "out.csv", event, call) == -signal.SIGKILL
    finished = [int(path.name) for path in Path("out.csv.parts").glob("0???????")]
    seen = []

    def count(self: Any, texts: Any) -> Any:
        seen.extend(texts)
        return original(self, texts)

    from mlemo.inference import Classifier

    original = Classifier.__call__
    monkeypatch.setattr(Classifier, "__call__", count)
    main(words)
    assert Path("out.csv").read_bytes() == Path("unbroken.csv").read_bytes()
    size = rows_per_part(100)
    assert len(seen) == 100 - sum(min(size, 100 - part * size) for part in finished)
    assert not Path("out.csv.parts").exists()


def test_parts_of_another_job_are_refused(
    run: Path, classify: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    big()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    words = ["--file", "in.csv", "--output", "out.csv"]
    with monkeypatch.context() as patch:
        patch.setattr("mlemo.classification.formats.TextTable.join", interrupt)
        with pytest.raises(KeyboardInterrupt):
            classify(*words)
    with pytest.raises(SystemExit):
        classify(*words, "--probabilities", "none")
    message = " ".join(capsys.readouterr().err.split())
    assert "holds parts of another job (probabilities was 'all', is 'none')" in message
    with open("in.csv", "a") as file:
        file.write("101,one more\n")
    with pytest.raises(SystemExit):
        classify(*words)
    assert "parts of another job (input was" in " ".join(capsys.readouterr().err.split())
    classify(*words, "--overwrite")
    assert len(read("out.csv")) == 102
    with pytest.raises(SystemExit):
        classify(*words)
    assert "out.csv is there; --overwrite replaces it" in capsys.readouterr().err


# standard output -------------------------------------------------------------------------------------------------


def test_lines_of_the_standard_input_and_blank_ones(
    classify: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("a day\n\nthe sea \u2028 海\r\n".encode())))
    summary = classify()
    captured = capsys.readouterr()
    found = [json.loads(line) for line in captured.out.split("\n")[:-1]]
    assert [one["text"] for one in found] == ["a day", "", "the sea \u2028 海"]
    assert [one["labels"] is None for one in found] == [False, True, False]
    assert summary.rows == 3
    assert "1 without text" in captured.err


def test_a_table_is_for_few_sentences_on_a_terminal(
    classify: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    classify("a day")
    assert json.loads(capsys.readouterr().out)["text"] == "a day"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    classify("a day")
    assert "highest probabilities" in capsys.readouterr().out
    for words in (["--json", "a day"], ["a day"] * 21):
        classify(*words)
        assert json.loads(capsys.readouterr().out.splitlines()[0])["text"] == "a day"


def test_a_closed_pipe_ends_quietly(run: Path) -> None:
    big(2000)
    command = f"{sys.executable} -m mlemo classify --ckpt {run} --file in.csv | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["id"] == "0"
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_bfloat16_needs_hardware(
    classify: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlemo.inference.has_bf16", lambda: False)
    with pytest.raises(SystemExit):
        classify("--precision", "bf16", "a day")
    assert "the hardware does not multiply in torch.bfloat16" in capsys.readouterr().err


@pytest.mark.skipif(not has_bf16(), reason="the processor does not multiply in bfloat16")
def test_bfloat16_decides_nearly_the_same(run: Path, classify: Callable[..., Any]) -> None:
    big()
    for precision in ("32", "bf16"):
        classify("--file", "in.csv", "--output", f"{precision}.csv", "--precision", precision)
    single, half = (pd.read_csv(f"{precision}.csv") for precision in ("32", "bf16"))
    names = [f"p_{label}" for label in LABELS]
    difference = (single[names] - half[names]).abs().to_numpy()
    assert 0 < difference.max() < 0.03
