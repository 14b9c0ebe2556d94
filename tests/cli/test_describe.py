"""`mlemo describe`: the table, the page and the JSON file of a corpus, named as for `mlemo fit`."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mlemo.cli import main
from mlemo.cli.describe import parser
from mlemo.data import SyntheticEmotions

ROWS = {
    "train": [("so good", 1, 0), ("so good", 0, 0), ("what a day", 0, 1), ("<b>odd</b>", 1, "")] * 2,
    "val": [("so good", 1, 0), ("never", 0, 1)],
    "test": [("never again", 1, 0), ("What a day!", 0, 1), ("   ", 0, 1)],
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with three invented CSV files."""
    for split, rows in ROWS.items():
        pd.DataFrame(rows, columns=["text", "joy", "anger"]).to_csv(tmp_path / f"{split}.csv", index=False)
    return tmp_path


def words(folder: Path) -> Sequence[str]:
    files = [f"--data.{split}={folder / split}.csv" for split in ROWS]
    return ["--data", "TextFiles", "--data.labels", "[joy, anger]", *files, f"--output={folder / 'out'}"]


def test_own_texts_are_described(own: Path, pretrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = main(["describe", *words(own), "--encoder", str(pretrained), "--max_length", "4"])
    assert page == own / "out" / "description.html"
    content = json.loads((own / "out" / "description.json").read_text())
    assert content["corpus"] == "TextFiles"
    assert content["settings"]["labels"] == ["joy", "anger"]
    assert {split: numbers["rows"] for split, numbers in content["splits"].items()} == {"train": 8, "val": 2, "test": 3}
    train = content["splits"]["train"]
    assert [(label["positives"], label["annotated"]) for label in train["labels"]] == [(4, 8), (2, 6)]
    assert train["not_annotated"] == 2
    assert content["splits"]["test"]["empty_texts"] == 1
    repeats = content["repeats"]
    assert repeats["within"] == {"train": 5, "val": 0, "test": 0}
    assert repeats["across"] == {"train, val": 1, "train, test": 0, "val, test": 0}
    assert repeats["near"] == {"train, val": 1, "train, test": 1, "val, test": 0}
    assert repeats["conflicting_texts"] == 1
    assert repeats["examples"][0]["text"] == "so good"
    assert content["truncated"]["train"] == 8 - sum(length <= 4 for length in token_counts(pretrained))
    shown = capsys.readouterr().out
    assert "val: 1 rows with a text of train, and 0 that are similar to one" in shown
    assert "1 texts have different labels in different rows" in shown
    assert "warning: train: only 8 rows to learn from" in shown
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;odd" not in text  # only texts with different labels are on the page
    assert "so good (5 rows)" in text
    assert not re.search(r"<script|<link|https?://(?!www\.w3\.org|purl\.org|creativecommons|matplotlib)", text)


def token_counts(pretrained: Path) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pretrained)
    return [len(tokenizer(text)["input_ids"]) for text, *_ in ROWS["train"]]


def test_the_embedded_corpus_of_a_config_file_is_described_without_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "seed_everything": 3,
        "data": {"class_path": "SyntheticEmotions", "init_args": {"size": 200, "val_size": 40, "test_size": 60}},
        "model": {"class_path": "BertWDL", "init_args": {"encoder": "a name that is nowhere"}},
    }
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    main(["describe", "--config", str(file), "--data.size=150", "--similarity=0", f"--output={tmp_path / 'out'}"])
    content = json.loads((tmp_path / "out" / "description.json").read_text())
    train = SyntheticEmotions(size=150, val_size=40, test_size=60).corpus("train")
    table = pd.DataFrame(train.labels.numpy(), columns=list(train.label_space.names))
    found = content["splits"]["train"]
    assert {label["name"]: label["positives"] for label in found["labels"]} == table.sum().to_dict()
    assert found["cardinality"] == pytest.approx(table.sum(axis=1).mean())
    assert content["settings"]["seed"] == 3
    assert content["repeats"]["near"] is None
    assert "similar" not in capsys.readouterr().out


def test_texts_of_any_kind_are_escaped_on_the_page(own: Path) -> None:
    odd = "<script>alert(1)</script> \x1b[31m \u200f خوف"
    pd.DataFrame([(odd, 1, 0), (odd, 0, 1)], columns=["text", "joy", "anger"]).to_csv(own / "val.csv", index=False)
    page = main(["describe", *words(own)])
    assert isinstance(page, Path)
    assert "&lt;script&gt;alert(1)" in page.read_text(encoding="utf-8")
    assert "<script>" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no corpus is named: give --config FILE, or --data CLASS and its settings"),
        (["--data", "TextFile"], "did you mean TextFiles"),
        (["--data", "TextFiles", "--data.lables", "[a]", "--data.train", "x.csv"], "no such setting; did you mean"),
        (["--data", "TextFiles", "--data.labels", "[a]", "--data.train", "nowhere.csv"], "nowhere.csv"),
        (["--data", "SyntheticEmotions", "--similarity", "2"], "expected a share between 0 and 1, found 2"),
        (["--data", "SyntheticEmotions", "--encoder", "/no/where"], "/no/where"),
    ],
)
def test_mistakes_end_with_a_message_and_status_2(
    given: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["describe", *given, f"--output={tmp_path / 'out'}"])
    assert error.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_help_lists_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    parser().print_help()
    assert "--similarity" in capsys.readouterr().out
