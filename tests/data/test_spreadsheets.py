"""Tables as people keep them: delimiters, encodings, marks, blank rows, workbooks, and labels found in the file."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pytest
import torch
from pyarrow import parquet

from mlemo.data.files import TextFiles
from mlemo.data.io.indicators import Indicators
from mlemo.data.splits import joined_groups

LABELS = ["enfado", "alegría"]
TEXTS = ["mañana; o nunca", 'dijo "no"', "línea\nrota", "¡qué bien!"]
ROWS = [("x", ""), ("", "x"), ("x", "x"), ("", "")]
EXPECTED = [[1, 0], [0, 1], [1, 1], [0, 0]]
SETTINGS: dict[str, Any] = {"true_values": ["x"], "empty": "no", "text_column": "mensaje"}


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


def table(delimiter: str = ";") -> str:
    """The rows above as CSV."""
    quoted = ['"' + text.replace('"', '""') + '"' for text in TEXTS]
    rows = [delimiter.join(("mensaje", *LABELS))]
    rows += [delimiter.join((text, *marks)) for text, marks in zip(quoted, ROWS)]
    return "".join(f"{row}\r\n" for row in rows)


def read(path: Path, labels: list[str] | None = LABELS, **settings: Any):
    return TextFiles(labels, path, path, path, **settings).corpus("train")


@pytest.fixture
def file(tmp_path):
    def write(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def workbook(path: Path, rows: list[list[Any]], sheets: int = 1) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for _ in range(sheets - 1):
        book.create_sheet()
    book.save(path)
    return path


# encodings, delimiters, formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("map_from", [1, None])
@pytest.mark.parametrize(
    ("encoding", "setting"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-8-sig", "utf-8"),
        ("utf-16", None),
        ("utf-16", "utf-16"),
        ("cp1252", "cp1252"),
        ("cp1252", "windows-1252"),
        ("latin-1", "latin-1"),
    ],
)
def test_every_encoding_gives_the_same_corpus(file, tmp_path, encoding, setting, map_from):
    path = file(table().encode(encoding))
    found = read(path, delimiter=";", encoding=setting, map_from=map_from, cache_dir=tmp_path / "cache", **SETTINGS)
    assert list(found.texts) == TEXTS
    assert found.labels.tolist() == EXPECTED
    assert found.mask.all()


@pytest.mark.parametrize(
    ("delimiter", "name", "given"), [(",", "a.csv", None), ("\t", "a.tsv", None), ("|", "a.csv", "|")]
)
def test_the_delimiter_is_that_of_the_suffix_or_as_given(file, delimiter, name, given):
    assert read(file(table(delimiter), name), delimiter=given, **SETTINGS).labels.tolist() == EXPECTED


def test_unicode_text_of_excel(file):
    assert list(read(file(table("\t").encode("utf-16"), "rows.txt"), **SETTINGS).texts) == TEXTS


@pytest.mark.parametrize("map_from", [1, None])
def test_a_workbook_is_the_csv_of_its_first_sheet(tmp_path, map_from):
    rows = [["mensaje", *LABELS], *([text, *(mark or None for mark in marks)] for text, marks in zip(TEXTS, ROWS))]
    path = workbook(tmp_path / "rows.xlsx", rows, sheets=2)
    found = read(path, map_from=map_from, cache_dir=tmp_path / "cache", **SETTINGS)
    assert list(found.texts) == TEXTS
    assert found.labels.tolist() == EXPECTED
    assert found.warnings == (f"{path}: sheets behind the first one, 'Sheet', skipped: 1",)


def test_cells_of_a_workbook_may_be_numbers_and_booleans(tmp_path):
    rows = [["text", "id", "joy", "fear"], [12, 7, 1, True], ["b", 8.0, 0.0, False], [None, "9", 1.0, None]]
    found = read(workbook(tmp_path / "rows.xlsx", rows), ["joy", "fear"], id_column="id", true_values=[1, True])
    assert (found.texts, found.ids) == (["12", "b", ""], ["7", "8", "9"])
    assert found.labels.tolist() == [[1, 1], [0, 0], [1, 0]] or found.labels.isnan().any()


def test_faults_of_a_workbook_name_its_row(tmp_path, file):
    path = workbook(tmp_path / "rows.xlsx", [["text", "joy"], ["a", 1], [], ["b", "maybe"]])
    with raises(f"{path}, row 4: column 'joy' holds 'maybe', expected 0, 1 or an empty cell; data.true_values and"):
        read(path, ["joy"])
    with raises("rows2.xlsx: not a readable workbook"):
        read(file("text,joy\n", "rows2.xlsx"), ["joy"])
    with raises("none.xlsx: no such file", FileNotFoundError):
        read(tmp_path / "none.xlsx", ["joy"])


def test_a_workbook_without_openpyxl(tmp_path, monkeypatch):
    path = workbook(tmp_path / "rows.xlsx", [["text", "joy"], ["a", 1]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with raises("rows.xlsx: reading it needs openpyxl; install it with: pip install 'mlemo[xlsx]'"):
        read(path, ["joy"])


def test_a_workbook_that_unpacks_to_too_much(tmp_path, monkeypatch):
    path = workbook(tmp_path / "rows.xlsx", [["text", "joy"], ["a", 1]])
    monkeypatch.setattr("mlemo.data.io.compressed.LARGEST", 1000)
    with raises("rows.xlsx: it unpacks to more than 1,000 bytes"):
        read(path, ["joy"])


@pytest.mark.parametrize(
    ("delimiter", "encoding", "settings", "message"),
    [
        (";", "cp1252", {}, "rows.csv:1: byte 0xed is not UTF-8; save the file as UTF-8 or, with TextFiles, set "
         "data.encoding (in cp1252, this place is 'fado;alegría\\r\\n\"mañan')"),
        (";", "utf-8", {"encoding": "ascii"}, "rows.csv:1: byte 0xc3 is not ascii; save the file as ascii"),
        (";", "utf-8-sig", {"encoding": "cp1252"}, "rows.csv:1: the file begins with the byte-order mark of UTF-8, "
         "expected cp1252; with TextFiles, set data.encoding: utf-8"),
        (";", "utf-16", {"encoding": "utf-8"}, "byte-order mark of UTF-16, expected utf-8"),
        (";", "utf-8", {}, "rows.csv:1: found one column, 'mensaje;enfado;alegría'; if ';' is between the cells, set "
         'data.delimiter: ";"'),
        ("\t", "utf-8", {}, 'data.delimiter: "\\t"'),
    ],
)  # fmt: skip
def test_messages_name_the_setting_that_helps(file, delimiter, encoding, settings, message):
    with raises(message):
        read(file(table(delimiter).encode(encoding)), **settings, **SETTINGS)


def test_utf_16_without_a_byte_order_mark(file):
    path = file("text,joy\na,1\n".encode("utf-16-le"))
    with raises("rows.csv:1: found a NUL character, expected text; is the file damaged or UTF-16?"):
        read(path, ["joy"])
    assert read(path, ["joy"], encoding="utf-16-le").texts == ["a"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"encoding": "utf-9"},
            "data.encoding: no encoding is named 'utf-9'; common ones are utf-8, utf-16 and cp1252",
        ),
        ({"delimiter": ";;"}, "data.delimiter must be one character, found ';;'"),
        ({"delimiter": ""}, "data.delimiter must be one character, found ''"),
        ({"text_column": []}, "data.text_column is an empty list"),
        (
            {"true_values": ["x", ""]},
            "data.true_values holds an empty value; what an empty cell means is set by data.empty",
        ),
        ({"true_values": ["0"]}, "data.true_values and data.false_values both hold '0'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with raises(message):
        TextFiles(LABELS, "rows.csv", **settings)


# cells ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("true", "false", "cells"),
    [
        (
            None,
            None,
            {"1": 1, "0": 0, "1,0": 1, "0,0": 0, "1.0": 1, " 1 ": 1, 1: 1, 0.0: 0, "x": None, "2": None},
        ),
        (["x", "Sí", "ja"], None, {"X": 1, " sí": 1, "JA": 1, "0": 0, "1": None, False: 0}),
        ([True], [False], {"TRUE": 1, "yes": 1, "on": 1, "False": 0, "no": 0, "1": None}),
        ([2], [1], {2: 1, "2": 1, 1: 0, "1": 0, "0": None, 2.5: None}),
    ],
)
def test_cells_that_mean_one_and_zero(true, false, cells):
    read_cell = Indicators(true, false)
    for cell, value in cells.items():
        assert read_cell(cell) == value, cell
    assert all(read_cell(empty) != read_cell(empty) for empty in ("", "  ", None, float("nan")))
    assert read_cell([1]) is None


def test_values_of_yaml_and_of_the_command_line(tmp_path, file):
    from mlemo.training import instantiate

    path = file("text,joy\na,ja\nb,TRUE\nc,no\n")
    given = {"labels": ["joy"], "train": str(path), "val": str(path), "test": str(path)}
    config = tmp_path / "data.yaml"
    config.write_text(json.dumps({"data": {"class_path": "TextFiles", "init_args": given}})[:-3]
                      + ', "true_values": [ja, TRUE], "false_values": [no]}}}')  # fmt: skip
    words = ["--model=TransformerClassifier", "--model.encoder=FromScratch", f"--config={config}"]
    assert instantiate(words).datamodule.corpus("train").labels.tolist() == [[1], [1], [0]]
    words += ["--data.true_values=[no]", "--data.false_values=[ja, true]"]
    assert instantiate(words).datamodule.corpus("train").labels.tolist() == [[0], [0], [1]]


@pytest.mark.parametrize(
    ("separator", "cell"), [(";", "joy ; fear"), ("|", "fear|joy|"), ("\n", "joy\r\nfear"), (",", "joy,fear")]
)
def test_spaces_around_the_names_of_a_label_set_are_removed(file, separator, cell):
    path = file(f'text\te\na\t" {cell} "\nb\t"  "\n', "rows.tsv")
    found = read(path, ["joy", "fear"], label_column="e", separator=separator)
    assert found.labels.tolist() == [[1, 1], [0, 0]]


def test_names_joined_by_another_separator_are_named(file):
    message = "rows.csv:2: unknown label 'joy;fear' in column 'e', which is labels joined by ';', expected ',' between"
    with raises(f"{message} them; set data.separator"):
        read(file("text,e\na,joy;fear\n"), ["joy", "fear"], label_column="e")


@pytest.mark.parametrize("map_from", [1, None])
def test_several_text_columns_are_joined(file, tmp_path, map_from):
    path = file("title,body,joy\nHi,there,1\n,only,0\nonly, ,1\n")
    settings = {"text_column": ["title", "body"], "map_from": map_from, "cache_dir": tmp_path / "cache"}
    assert list(read(path, ["joy"], **settings).texts) == ["Hi\nthere", "only", "only"]
    assert list(read(path, ["joy"], text_separator=" | ", **settings).texts) == ["Hi | there", "only", "only"]
    with raises("no column 'name', found ['title', 'body', 'joy']"):
        read(path, ["joy"], **{**settings, "text_column": ["title", "name"]})


# blank rows and empty columns -----------------------------------------------------------------------------------------

BLANK = "\n,,,\ntext,joy,,\na,1,,\n\n , ,\nb,0,,,,\n\n"


@pytest.mark.parametrize("map_from", [1, None])
def test_blank_rows_and_empty_columns_are_skipped_and_counted(file, tmp_path, map_from):
    path = file(BLANK)
    for _ in range(2):  # read, and found in the cache
        found = read(path, ["joy"], map_from=map_from, cache_dir=tmp_path / "cache")
        assert (list(found.texts), found.ids == ["0", "1"], found.labels.tolist()) == (["a", "b"], True, [[1], [0]])
        assert sorted(found.warnings) == [
            f"{path}: blank rows skipped: 4",
            f"{path}: empty columns behind the last one with a name skipped: 4",
        ]
    data = TextFiles(["joy"], path, path, path)
    assert data.warnings()[:2] == list(found.warnings)


def test_what_is_not_empty_is_never_skipped(file):
    with raises("rows.csv:3: found 4 columns, with 'lost' in column 3, expected 2 columns ['text', 'joy']"):
        read(file("text,joy,\na,1,\nb,0,lost,\n"), ["joy"])
    with raises("rows.csv:3: found 1 columns, expected 2"):
        read(file("text,joy\na,1\nb\n"), ["joy"])
    with raises("the columns [''] occur more than once in the header ['text', '', '', 'joy']"):
        read(file("text,,,joy\na,,,1\n"), ["joy"])


def test_both_the_line_and_the_row_are_named_where_they_differ(file):
    path = file('id,text,joy\n1,"a\nb\nc",1\n\n2,d,maybe\n')
    with raises(f"{path}:6 (row 4 in a spreadsheet): column 'joy' holds 'maybe'"):
        read(path, ["joy"])
    path = file('id,text,joy\n1,"a\nb",1\n1,d,0\n')
    with raises(f"{path}:4 (row 3 in a spreadsheet): the id '1' occurs a second time, first in {path}:2"):
        read(path, ["joy"], id_column="id")


# labels that are found ------------------------------------------------------------------------------------------------


def test_labels_are_the_columns_of_indicators(file, caplog):
    path = file("id,when,text,sad,glad,note,void\n1,May,a,1,,,\n2,June,b,0,\"1,0\",hm,\n3,July,c,,0,,\n")  # fmt: skip
    data = TextFiles(None, path, path, path, id_column="id")
    with caplog.at_level(logging.INFO, "mlemo"):
        assert data.label_space.names == ("sad", "glad")
    assert f"labels found in {path}: sad, glad" in caplog.text
    assert f"columns of {path} that are not read: 'when' ('May'), 'note' ('hm'), 'void' (empty)" in caplog.text
    assert data.found_settings() == {"labels": ["sad", "glad"]}
    assert data.corpus("val").labels.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert TextFiles(["sad"], path).found_settings() == {}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_labels_are_the_names_in_the_label_column_sorted(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("mlemo.data.io.tables.PART", 2)
    cells = ["sad, glad", "", "angry", "glad"]
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        path.write_text("text,e\n" + "".join(f'{number},"{cell}"\n' for number, cell in enumerate(cells)))
    elif suffix == ".jsonl":
        path.write_text(
            "".join(json.dumps({"text": "a", "e": cell.split(", ") if cell else []}) + "\n" for cell in cells)
        )
    else:
        parquet.write_table(pyarrow.table({"text": list("abcd"), "e": cells}), path)
    data = TextFiles(None, path, path, path, label_column="e")
    assert data.label_space.names == ("angry", "glad", "sad")
    assert data.corpus("test").labels.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("text,joy\na,1\nb,0\nc,O\n", {}, "rows.csv:4: column 'joy' holds 'O', and 2 cells of 1, 1.0, 1,0, 0, 0.0, "
         "0,0; is it a label?"),
        ("text,joy\na,ja\nb,\n", {}, "rows.csv: no column of labels, whose cells are 1, 1.0, 1,0, 0, 0.0, 0,0 or "
         "empty; the other columns are 'joy' ('ja'). Set data.true_values and data.false_values, or data.label_column"),
        ("text\na\n", {}, "the other columns are none"),
        ("text,e\na,\n", {"label_column": "e"}, "rows.csv: column 'e' has no label: each of its cells is empty"),
        ("text,joy\na,1\nb,\n", {}, "an empty cell can mean two things in the columns 'joy'"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_found(file, content, settings, message):
    with raises(message):
        read(file(content), None, **settings)


def test_labels_found_are_stored_in_the_checkpoint(tmp_path, monkeypatch, capsys):
    import yaml

    from mlemo.cli import main
    from mlemo.runs.loading import read_checkpoint

    monkeypatch.chdir(tmp_path)
    rows = [f"{'glad' if number % 2 else 'sad'} day {number},{number % 2},{1 - number % 2}" for number in range(60)]
    Path("mine.csv").write_text("\n".join(["text,glad,sad", *rows]))
    main(["fit", "--data=TextFiles", "--data.train=mine.csv", "--model=Linear", "--model.features=Tfidf", "--name=run",
          "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--figures.every_n_epochs=0"])  # fmt: skip
    stored = yaml.safe_load(read_checkpoint(Path("runs/run/checkpoints/best.ckpt"))["config"])
    assert stored["data"]["init_args"]["labels"] == ["glad", "sad"]
    assert yaml.safe_load(Path("runs/run/config.yaml").read_text())["data"]["init_args"]["labels"] == ["glad", "sad"]
    # a column that is added later is no label of the trained model
    Path("mine.csv").write_text("\n".join(["text,glad,sad,new", *(f"{row},1" for row in rows)]))
    main(["test", "--ckpt_path=runs/run", "--trainer.enable_progress_bar=false", "--figures.every_n_epochs=0"])
    Path("mine.csv").unlink()
    capsys.readouterr()
    main(["classify", "--ckpt=runs/run", "a glad day"])
    assert "glad" in capsys.readouterr().out


# groups ---------------------------------------------------------------------------------------------------------------


def test_rows_of_one_group_stay_on_one_side(file):
    rows = [(f"text {number % 95}", f"author {number % 20}" if number % 10 else "") for number in range(200)]
    lines = [f"{text},{author},{len(author) % 2},{number % 2}\n" for number, (text, author) in enumerate(rows)]
    path = file("text,author,joy,sad\n" + "".join(lines))
    data = TextFiles(["joy", "sad"], path, group_column="author", seed=3)
    assert TextFiles(None, path, group_column="author").label_space.names == ("joy", "sad")
    parts = {split: [rows[int(number)] for number in data.corpus(split).ids] for split in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == 200
    for kind in (0, 1):
        keys = [{row[kind] for row in part} - {""} for part in parts.values()]
        assert len(set().union(*keys)) == sum(map(len, keys))
    without = TextFiles(["joy", "sad"], path, seed=3)
    keys = [{rows[int(number)][1] for number in without.corpus(split).ids} - {""} for split in ("train", "val")]
    assert keys[0] & keys[1]
    with raises("no column 'writer', found ['text', 'author', 'joy', 'sad']"):
        TextFiles(["joy", "sad"], path, group_column="writer").corpus("val")


def test_joined_groups_are_those_of_following_links():
    keys = torch.randint(0, 40, (2, 60), generator=torch.Generator().manual_seed(0)).tolist()
    groups = joined_groups(*keys)
    for row in range(60):  # every row that can be reached by a shared key
        reached, waiting = {row}, [row]
        while waiting:
            one = waiting.pop()
            new = {other for other in range(60) if any(key[one] == key[other] for key in keys)} - reached
            reached |= new
            waiting += new
        assert {other for other in range(60) if groups[other] == groups[row]} == reached
    assert list(dict.fromkeys(groups)) == list(range(max(groups) + 1))


@pytest.mark.parametrize(
    "setting",
    [
        {"delimiter": ","},
        {"encoding": "latin-1"},
        {"true_values": [1, "x"]},
        {"false_values": [0, "n"]},
        {"text_column": ["text", "id"]},
        {"text_separator": " "},
        {"separator": ";"},
    ],
)
def test_every_setting_of_the_reader_is_in_the_key_of_the_cache(file, tmp_path, setting):
    path = file("id,text,joy\n1,a,1\n2,b,0\n")
    for given in ({}, setting):
        read(path, ["joy"], map_from=1, cache_dir=tmp_path / "cache", **given)
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 2
