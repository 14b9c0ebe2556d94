import re

import pyarrow
import pytest
import torch
from pyarrow import parquet

from mlemo.data.io.tables import (
    Table,
    csv_parts,
    json_lines_parts,
    nearest,
    parquet_parts,
    read_csv,
    read_json_lines,
    read_parquet,
    read_text,
)
from mlemo.labels import LabelSpace


@pytest.fixture
def file(tmp_path):
    def write(content: str | bytes, name: str = "rows.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


# CSV ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n"])
def test_csv_with_either_line_end_and_a_byte_order_mark(file, mark, end, last):
    table = read_csv(file((mark + "id,text\na,one\nb,two" + last).replace("\n", end)))
    assert table.columns == {"id": ["a", "b"], "text": ["one", "two"]}
    assert list(table.lines) == [2, 3]


def test_csv_counts_lines_where_a_field_holds_line_breaks(file):
    table = read_csv(file('id,text\na,"one\ntwo\n\nthree"\nb,four\n'))
    assert table.column("text") == ["one\ntwo\n\nthree", "four"]
    assert list(table.lines) == [2, 6]
    assert list(table.numbers) == [2, 3]
    assert table.where(0).endswith("rows.csv:2")
    assert table.where(1).endswith("rows.csv:6 (row 3 in a spreadsheet)")
    assert table.place(6) == table.where(1)


def test_csv_keeps_characters_that_only_look_like_line_ends(file):
    text = "a\u2028b\x85c\x0bd\x1ce\u00a0"
    assert read_csv(file(f"text\n{text}\n")).column("text") == [text]


def test_csv_quotes_are_ordinary_where_nothing_is_quoted(file):
    path = file('"one\t1\n"two"\t2\n')
    table = read_csv(path, delimiter="\t", quoted=False, columns=("text", "label"))
    assert table.columns == {"text": ['"one', '"two"'], "label": ["1", "2"]}
    assert list(table.lines) == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,text\na,one\nb\n", "rows.csv:3: found 1 columns, expected 2 columns ['id', 'text']"),
        ("id,text\na,one,more\n", "rows.csv:2: found 3 columns, expected 2"),
        ('id,text\na,"one\ntwo"\nb\n', "rows.csv:4 (row 3 in a spreadsheet): found 1 columns"),
        ("id,text\na,one\n\nb,two\n", "rows.csv:3: found an empty line, expected 2 columns"),
        ("id,text\n", "rows.csv: no row after the header ['id', 'text']"),
        ("", "rows.csv: the file is empty"),
        (" \n\n", "rows.csv: the file is empty"),
        ("id,id\na,b\n", "rows.csv:1: the columns ['id'] occur more than once"),
        ('id,text\na,one\nb,"two\nc,three\n', "rows.csv:3: in the row that begins here: unexpected end of data"),
        ('id,text\na,"one"x\n', "rows.csv:2: in the row that begins here: "),
        (b"id,text\na,one\nb,t\x00wo\n", "rows.csv:3: found a NUL character, expected text"),
        ("\ufeff\ufeffid,text\na,one\n", "rows.csv:1: the file begins with two byte-order marks (U+FEFF)"),
        (
            "id,\ufefftext\na,one\n",
            r"rows.csv: the column name '\ufefftext' holds U+FEFF, an invisible byte-order mark",
        ),
        (b"id,text\na,one\nb,\xe9t\xe9\n", "rows.csv:3: byte 0xe9 is not UTF-8"),
        (b"\xef\xbb\xbfid,text\na,\xff\n", "rows.csv:2: byte 0xff is not UTF-8"),
    ],
)
def test_csv_faults_are_named_with_their_line(file, content, message):
    with raises(message):
        read_csv(file(content))


def test_missing_file(tmp_path):
    for read in (read_text, read_csv, read_json_lines, read_parquet):
        with raises("nothing.csv: no such file", FileNotFoundError):
            read(tmp_path / "nothing.csv")
        with raises("no such file", FileNotFoundError):
            read(tmp_path)  # a folder


# JSON lines and Parquet -----------------------------------------------------------------------------------------------


def test_json_lines(file):
    table = read_json_lines(file('{"text": "a\\nb", "joy": true}\r\n{"joy": null, "text": "c"}\r\n'))
    assert table.columns == {"text": ["a\nb", "c"], "joy": [True, None]}
    assert list(table.lines) == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": \n', "rows.csv:2: not JSON: "),
        ('{"a": 1}\n\n{"a": 2}\n', "rows.csv:2: not JSON: "),
        ('{"a": 1}\n[1]\n', "rows.csv:2: found [1], expected a JSON object"),
        ('{"a": 1}\n{"a": 2}\n{"b": 1}\n', "rows.csv:3: found the keys ['b'], expected ['a'] as in line 1"),
        ('{"a": 1}\n{"a": "\\ud83d"}\n', r"rows.csv:2: found \ud83d, half of a surrogate pair"),
        ('{"a": ["\\udc00\\ud83d"]}\n', r"rows.csv:1: found \udc00, half of a surrogate pair"),
        (b'{"a": 1}\n{"a": "\xff"}\n', "rows.csv:2: byte 0xff is not UTF-8"),
        ('{"a": ' + "[" * 100_000 + "\n", "rows.csv:1: not JSON: "),
        ('{"a": ' + "1" * 10_000 + "}\n", "rows.csv:1: not JSON: "),
        ('{"a\\u0000": 1}\n', "rows.csv: the column name 'a\\x00' holds a NUL character"),
        ("", "the file is empty"),
    ],
)
def test_json_lines_faults(file, content, message):
    with raises(message):
        read_json_lines(file(content))


def test_parquet(tmp_path, file):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "joy": [1.0, None]}), path)
    table = read_parquet(path)
    assert table.columns == {"text": ["a", "b"], "joy": [1.0, None]}
    assert table.where(1).endswith("rows.parquet, row 2")
    parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), path)
    with raises("no row, found the columns ['text']"):
        read_parquet(path)
    with raises("rows.csv: not a readable Parquet file"):
        read_parquet(file("id,text\n"))


def test_parquet_with_broken_utf8(tmp_path):
    path = tmp_path / "rows.parquet"
    raw = pyarrow.array([b"good", None, b"caf\xe9", b"\xff"], pyarrow.binary())
    broken = pyarrow.Array.from_buffers(pyarrow.string(), 4, raw.buffers())
    parquet.write_table(pyarrow.table({"text": broken, "joy": [0, 1, 0, 1]}), path)
    with raises("rows.parquet, row 3: column 'text' cannot be read: 'utf-8' codec can't decode byte 0xe9"):
        read_parquet(path)


def test_json_with_whole_surrogate_pairs(file):
    assert read_json_lines(file('{"text": "\\ud83d\\ude00 \\\\ud83d"}\n')).column("text") == ["\U0001f600 \\ud83d"]


def test_texts_may_be_long(file):
    text = "a b " * 2_500_000
    table = read_csv(file(f"text,joy\n{text},1\n"))
    assert table.column("text") == [text]
    with raises("rows.csv:2: column 'text' holds 'a b a b a b a b") as caught:
        table.indicators(["text"])
    assert len(str(caught.value)) < 300
    with raises("rows.csv:2: unknown label 'a b") as caught:
        table.multi_hot([[text]], LabelSpace(("joy",)))
    assert len(str(caught.value)) < 300
    names = ",".join(map(str, range(50_000)))
    assert len(read_csv(file(f"{names}\n{names}\n")).columns) == 50_000


# cells ----------------------------------------------------------------------------------------------------------------


def table(**columns):
    return Table("rows.csv", columns, range(2, 2 + len(next(iter(columns.values())))))


def test_indicators_in_the_order_asked_for():
    cells = table(joy=["0", "1.0", 1, False, 0.0], anger=["1", "0", None, "", float("nan")])
    labels, mask = cells.indicators(["anger", "joy"], empty_is_unknown=True)
    assert labels.tolist() == [[1, 0], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert mask.tolist() == [[True, True], [True, True], [False, True], [False, True], [False, True]]
    assert labels.dtype == torch.float32
    assert mask.dtype == torch.bool


@pytest.mark.parametrize("cell", ["2", "yes", " 1", "-1", 2, 0.5, [1], {"a": 1}])
def test_indicators_refuse_other_values(cell):
    with raises(f"rows.csv:3: column 'joy' holds {cell!r}, expected 0, 1 or an empty cell"):
        table(joy=["1", cell]).indicators(["joy"], empty_is_unknown=True)


@pytest.mark.parametrize("cell", ["", None])
def test_indicators_refuse_an_empty_cell_unless_it_is_allowed(cell):
    with raises(f"rows.csv:3: column 'joy' holds {cell!r}, expected 0 or 1"):
        table(joy=["1", cell]).indicators(["joy"])


def test_column_that_is_not_there():
    with raises("rows.csv: no column 'texts', found ['text', 'joy']. Did you mean 'text'?"):
        table(text=["a"], joy=["1"]).column("texts")


def test_texts_must_be_strings():
    assert table(text=["a", ""]).texts("text") == ["a", ""]
    with raises("rows.csv:3: column 'text' holds None, expected a text"):
        table(text=["a", None]).texts("text")

    with raises(r"rows.csv:2: column 'text' holds 'a\x00b', expected a text without NUL characters"):
        table(text=["a\0b"]).texts("text")  # as JSON and Parquet can hold it
    assert table(text=["\ufeffa"]).texts("text") == ["\ufeffa"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a"], "rows.csv:4: the id 'a' occurs a second time, first in rows.csv:2"),
        ([1, 2, "1"], "rows.csv:4: the id '1' occurs a second time, first in rows.csv:2"),
        (["a", "\ufeffa"], r"rows.csv:3: the id '\ufeffa' holds U+FEFF, an invisible byte-order mark; remove it"),
        (["a\0"], r"rows.csv:2: the id 'a\x00' holds a NUL character"),
        (["a", " "], "rows.csv:3: the id is empty"),
        ([None], "rows.csv:2: the id is empty"),
    ],
)
def test_ids_that_do_not_identify_a_row(ids, message):
    with raises(message):
        table(id=ids).ids("id")


def test_ids_are_strings():
    assert table(id=[7, "a", " a"]).ids("id") == ["7", "a", " a"]


def test_multi_hot():
    space = LabelSpace(("joy", "anger", "fear"))
    rows = table(text=["a", "b", "c"])
    assert rows.multi_hot([["fear", "joy"], [], ["anger"]], space).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    with raises("rows.csv:4: unknown label 'angr'. Did you mean 'anger'? The labels are ['joy', 'anger', 'fear']"):
        rows.multi_hot([[], ["joy"], ["angr"]], space)


def test_nearest():
    assert nearest("sadnes", ["sadness", "gladness", "joy"]) == ". Did you mean 'sadness' or 'gladness'?"
    assert nearest(3, ["joy"]) == "."


# parts ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_rows_a_part(monkeypatch):
    monkeypatch.setattr("mlemo.data.io.tables.PART", 3)


@pytest.mark.usefixtures("three_rows_a_part")
def test_the_parts_of_a_file_are_the_file(file):
    rows = "".join(f'{row},"te\nxt {row}"\n' for row in range(8))
    path = file("id,text\n" + rows + "\n\n")
    parts = list(csv_parts(path))
    assert [len(part) for part in parts] == [3, 3, 2]
    assert parts[2].columns == {"id": ["6", "7"], "text": ["te\nxt 6", "te\nxt 7"]}
    assert parts[2].where(1) == f"{path}:16 (row 9 in a spreadsheet)"
    whole = read_csv(path)
    assert whole.column("id") == list("01234567")
    assert list(whole.lines) == [2, 4, 6, 8, 10, 12, 14, 16]
    lines = file("".join(f'{{"text": "{row}"}}\r\n' for row in range(7)))
    assert [list(part.lines) for part in json_lines_parts(lines)] == [[1, 2, 3], [4, 5, 6], [7]]
    assert read_json_lines(lines).column("text") == list("0123456")


def test_the_parts_of_a_parquet_file_count_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("mlemo.data.io.tables.PART", 2048)
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"text": [str(row) for row in range(5000)]}), path)
    parts = list(parquet_parts(path))
    assert [len(part) for part in parts] == [2048, 2048, 904]
    assert parts[2].where(0) == f"{path}, row 4097"
    assert read_parquet(path).column("text") == [str(row) for row in range(5000)]


@pytest.mark.usefixtures("three_rows_a_part")
@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_csv, "a,b\n" + "1,2\n" * 7 + "1\n" + "1,2\n" * 4, "rows.csv:9: found 1 columns"),
        (read_csv, "a,b\n" + "1,2\n" * 7 + "\n1,2\n", "rows.csv:9: found an empty line"),
        (read_csv, "a,b\n" + "1,2\n" * 7 + '1,"2\n', "rows.csv:9: in the row that begins here"),
        (read_csv, b"a,b\n" + b"1,2\n" * 7 + b"1,\xff\n", "rows.csv:9: byte 0xff is not UTF-8"),
        (read_csv, b"a,b\n" + b"1,2\n" * 7 + b"1,\x00\n", "rows.csv:9: found a NUL"),
        (read_json_lines, '{"a": 1}\n' * 7 + '{"b": 1}\n', "rows.csv:8: found the keys ['b'], expected ['a']"),
        (read_json_lines, '{"a": 1}\n' * 7 + "[]\n", "rows.csv:8: found [], expected a JSON object"),
    ],
)
def test_faults_behind_the_first_part_are_named_with_their_line(file, read, content, message):
    with raises(message):
        read(file(content))


def test_an_id_that_occurs_in_two_parts_is_named_with_both_lines(file, three_rows_a_part):
    known = {}
    with raises("rows.csv:7: the id 'x' occurs a second time, first in "):
        for part in csv_parts(file("id\nx\na\nb\nc\nd\nx\n")):
            part.ids("id", known)
    assert known["x"] == 2
