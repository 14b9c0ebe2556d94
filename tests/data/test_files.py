import json
import re
from pathlib import Path

import pyarrow
import pytest
import torch
from pyarrow import parquet

from mlemo.data.files import TextFiles

FIXTURE = Path(__file__).parent / "files"
LABELS = ["joy", "anger", "fear"]
FILES = {"train": "train.csv", "val": "val.tsv", "test": "test.jsonl"}
SPLITS = ("train", "val", "test")


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


def test_reads_csv_tsv_and_json_lines_with_a_column_a_label(make):
    rows = make("files")["rows"]()
    data = TextFiles(LABELS, **FILES, data_dir=FIXTURE, id_column="id")
    assert data.label_space.names == ("joy", "anger", "fear")
    for split in SPLITS:
        corpus = data.corpus(split)
        ids, texts, values = zip(*rows[split])
        assert corpus.ids == list(ids)
        assert corpus.texts == list(texts)
        assert corpus.labels.tolist() == [[float(row[label] == "1") for label in LABELS] for row in values]
        assert corpus.mask.tolist() == [[row[label] != "?" for label in LABELS] for row in values]
    assert not data.corpus("train").mask.all()


def test_reads_parquet(tmp_path):
    columns = {"text": list("abc"), "joy": [True, False, False], "anger": [1, None, 0], "fear": [0.0, 1.0, 0.0]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "rows.PARQUET")
    corpus = TextFiles(LABELS, *[tmp_path / "rows.PARQUET"] * 3).corpus("train")
    assert corpus.labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert corpus.mask.tolist() == [[True, True, True], [True, False, True], [True, True, True]]
    assert corpus.ids == ["0", "1", "2"]


def test_the_order_of_the_labels_is_the_users():
    train = TextFiles(LABELS, **FILES, data_dir=FIXTURE).corpus("train")
    turned = TextFiles(LABELS[::-1], **FILES, data_dir=FIXTURE).corpus("train")
    assert torch.equal(turned.labels, train.labels.flip(1))
    assert torch.equal(turned.mask, train.mask.flip(1))


@pytest.mark.parametrize(
    ("write", "suffix"),
    [
        (", ".join, ".csv"),  # names, joined
        (json.dumps, ".csv"),  # a JSON list as text
        (str, ".tsv"),  # a printed Python list
        (lambda on: on, ".jsonl"),
        (lambda on: on, ".parquet"),
    ],
)
def test_label_sets_in_one_column(tmp_path, write, suffix):
    import csv

    sets = [["fear", "joy"], ["anger"], []]
    path = tmp_path / f"rows{suffix}"
    texts, cells = ["a", "b", "c"], [write(on) for on in sets]
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps({"t": text, "e": cell}) + "\n" for text, cell in zip(texts, cells)))
    elif suffix == ".parquet":
        parquet.write_table(pyarrow.table({"t": texts, "e": cells}), path)
    else:
        with open(path, "w", newline="") as file:
            csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",").writerows([("t", "e"), *zip(texts, cells)])
    corpus = TextFiles(LABELS, path, path, path, text_column="t", label_column="e").corpus("test")
    assert corpus.texts == texts
    assert corpus.labels.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert corpus.mask.all()


def test_null_in_the_label_column_is_not_annotated(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "e": null}\n{"text": "b", "e": []}\n')
    corpus = TextFiles(LABELS, path, path, path, label_column="e").corpus("train")
    assert corpus.mask.tolist() == [[False] * 3, [True] * 3]
    assert not corpus.labels.any()


# joy has 1 and blanks only, anger 0 and blanks too, fear nothing but blanks
MARKS = "text,joy,anger,fear\na,1,1,\nb,,0,\nc,,,\nd,1,0,\n"


def test_a_column_of_ones_and_blanks_is_refused_until_its_meaning_is_given(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(MARKS)
    with raises("rows.csv: an empty cell can mean two things in the columns 'joy' (2 of 1, none of 0, 2 empty). Set"):
        TextFiles(LABELS, path, path, path).corpus("train")
    with raises(
        "Set data.empty: `no` if it means that the label is absent (as 0), `unknown` if it means not annotated"
    ):
        TextFiles(LABELS, path).setup("fit")
    absent = TextFiles(LABELS, path, path, path, empty="no").corpus("train")
    assert absent.mask.all()
    assert absent.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    unknown = TextFiles(LABELS, path, path, path, empty="unknown").corpus("train")
    assert unknown.mask.tolist() == [[True, True, False], [False, True, False], [False] * 3, [True, True, False]]
    assert unknown.labels.equal(absent.labels)


def test_blanks_beside_zeros_are_not_annotated_unless_set(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,joy,anger,fear\na,1,1,\nb,,0,\nc,0,,\n")
    for empty, annotated in ((None, [2, 2, 0]), ("unknown", [2, 2, 0]), ("no", [3, 3, 3])):
        assert TextFiles(LABELS, path, path, path, empty=empty).corpus("val").mask.sum(0).tolist() == annotated
    with raises("data.empty must be no, unknown or null, found 'yes'"):
        TextFiles(LABELS, path, empty="yes")


@pytest.mark.parametrize("names", [3, 30])
def test_many_ambiguous_columns_are_counted(tmp_path, names):
    labels = [f"label{number}" for number in range(names)]
    path = tmp_path / "rows.csv"
    path.write_text(f"text,{','.join(labels)}\na{',1' * names}\nb{',' * names}\n")
    more = " and 25 more. Set" if names == 30 else "'label2' (1 of 1, none of 0, 1 empty). Set"
    with raises(more):
        TextFiles(labels, path, path, path).corpus("train")


@pytest.mark.parametrize("setting", ["no", "'no'", '"no"', "unknown", "null"])
def test_the_meaning_can_be_given_in_a_file_and_on_the_command_line(tmp_path, setting):
    from mlemo.training import instantiate

    expected = None if setting == "null" else setting.strip("'\"")
    given = {"class_path": "TextFiles", "init_args": {"labels": LABELS, "train": "rows.csv"}}
    config = tmp_path / "data.yaml"
    config.write_text(json.dumps({"data": given})[:-3] + f', "empty": {setting}' + "}}}")
    words = ["--model=TransformerClassifier", "--model.encoder=FromScratch", f"--config={config}"]
    assert instantiate(words).datamodule.empty == expected
    if setting == setting.strip("'\""):
        config.write_text(json.dumps({"data": given}))
        assert instantiate([*words, f"--data.empty={setting}"]).datamodule.empty == expected


@pytest.mark.parametrize(
    ("empty", "annotated"), [(None, [False, True, True]), ("no", [True] * 3), ("unknown", [False, False, True])]
)
def test_the_meaning_of_an_empty_cell_in_the_label_column(tmp_path, empty, annotated):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "e": null}\n{"text": "b", "e": ""}\n{"text": "c", "e": []}\n')
    corpus = TextFiles(LABELS, path, path, path, label_column="e", empty=empty).corpus("train")
    assert corpus.mask.tolist() == [[known] * 3 for known in annotated]
    assert not corpus.labels.any()


def test_another_separator(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,e\na,joy|fear\n")
    data = TextFiles(LABELS, path, path, path, label_column="e", separator="|")
    assert data.corpus("train").labels.tolist() == [[1, 0, 1]]
    with raises("data.separator is empty"):
        TextFiles(LABELS, path, separator="")


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({}, {"train": 24, "val": 3, "test": 3}),
        ({"val": "val.tsv"}, {"train": 27, "val": 12, "test": 3}),
        ({"test": "test.jsonl"}, {"train": 27, "val": 3, "test": 12}),
    ],
)
def test_splits_without_a_file_are_made_from_the_training_file(given, sizes):
    def read(seed: int = 42) -> dict[str, list[str]]:
        data = TextFiles(LABELS, "train.csv", **given, data_dir=FIXTURE, id_column="id", seed=seed)
        return {split: data.corpus(split).ids for split in SPLITS}

    parts = read()
    assert {split: len(ids) for split, ids in parts.items()} == pytest.approx(sizes, abs=1)
    assert read() == parts
    assert read(1) != parts
    cut = [set(ids) for split, ids in parts.items() if split not in given]
    assert sum(map(len, cut)) == len(set().union(*cut)) == 30
    for seed in range(5):  # rows a4 and a5 have the same text
        assert sum({"a4", "a5"} <= set(ids) for ids in read(seed).values()) == 1


def test_fractions():
    data = TextFiles(LABELS, "train.csv", data_dir=FIXTURE, val_fraction=0.3, test_fraction=0.2)
    assert [len(data.corpus(split)) for split in SPLITS] == pytest.approx([15, 9, 6], abs=2)
    with raises("split fractions must be positive and sum to 1, found (-0.1"):
        TextFiles(LABELS, "train.csv", data_dir=FIXTURE, val_fraction=0.6, test_fraction=0.5).corpus("train")


def test_label_sets_and_label_columns_agree():
    sets = TextFiles(LABELS, *["sets.csv"] * 3, data_dir=FIXTURE, label_column="emotions").corpus("train")
    columns = TextFiles(LABELS, **FILES, data_dir=FIXTURE).corpus("train")
    assert sets.texts == columns.texts
    assert torch.equal(sets.labels, columns.labels)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("text,joy,anger,fear\na,0,1,0\nb,0,1,x\n", {}, "rows.csv:3: column 'fear' holds 'x', expected 0, 1 or"),
        ("text,joy,anger,fears\na,0,1,0\n", {}, "rows.csv: no column 'fear', found ['text', 'joy', 'anger', 'fears']"),
        ("text,joy,anger,fears\na,0,1,0\n", {}, "Did you mean 'fears'?"),
        ("txt,joy,anger,fear\na,0,1,0\n", {}, "rows.csv: no column 'text', found ['txt',"),
        ("text,joy,anger,fear\na,0,1\n", {}, "rows.csv:2: found 3 columns, expected 4"),
        ("text,joy,anger,fear\n", {}, "rows.csv: no row after the header"),
        ("", {}, "rows.csv: the file is empty"),
        (b"text,joy,anger,fear\n\xff,0,1,0\n", {}, "rows.csv:2: byte 0xff is not UTF-8"),
        ("text,joy,anger,fear\na,0,1,0\n", {"id_column": "key"}, "rows.csv: no column 'key', found"),
        (
            "text,key,joy,anger,fear\na,1,0,1,0\nb,1,0,1,0\n",
            {"id_column": "key"},
            "rows.csv:3: the id '1' occurs a",
        ),
        ("text,e\na,joy\nb,hapy\n", {"label_column": "e"}, "rows.csv:3: unknown label 'hapy'"),
        ("text,e\na,joy\nb,angr\n", {"label_column": "e"}, "Did you mean 'anger'?"),
        ("text,e\na,joy;fear\n", {"label_column": "e"}, "rows.csv:2: unknown label 'joy;fear'"),
        ("text,e\na,[joy]\n", {"label_column": "e"}, "rows.csv:2: column 'e' holds '[joy]', expected a list of"),
        ("text,e\na,[1]\n", {"label_column": "e"}, "column 'e' holds '[1]', expected a list of label names or names"),
        ("text,e\na,joy\n", {"label_column": "emotion"}, "rows.csv: no column 'emotion', found ['text', 'e']"),
    ],
)
def test_faults(tmp_path, content, settings, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with raises(message):
        TextFiles(LABELS, path, path, path, **settings).corpus("train")


def test_files_that_are_not_there_and_unknown_formats(tmp_path):
    with raises("missing.csv: no such file", FileNotFoundError):
        TextFiles(LABELS, "missing.csv", data_dir=tmp_path).corpus("train")
    expected = "['.csv', '.tsv', '.txt', '.xlsx', '.jsonl', '.parquet']"
    with raises(f"rows.ods: unknown suffix '.ods', expected one of {expected}"):
        TextFiles(LABELS, "rows.ods").corpus("train")
    with raises("data.train is not given"):
        TextFiles(LABELS)


def test_labels_must_be_different_names():
    with raises("label names must be unique"):
        TextFiles(["joy", "joy"], "train.csv")


def test_a_file_without_any_label_column_has_no_annotated_row_if_empty_is_unknown(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text\na\nb\n")
    corpus = TextFiles(LABELS, path, path, path, empty="unknown").corpus("train")
    assert not corpus.mask.any()
    assert not corpus.labels.any()
    with raises("rows.csv"):
        TextFiles(LABELS, path, path, path).corpus("train")
    path.write_text("text,joy\na,1\nb,0\n")
    with raises("'anger'"):  # some of the columns: a mistake
        TextFiles(LABELS, path, path, path, empty="unknown").corpus("train")
