import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from mlemo.data.inspection import inspect_file
from mlemo.data.io.sniffing import found_delimiter, found_encoding
from mlemo.data.language import language_of

TEXT = "un texto más, con; signos | y otros"


def rows(*columns: list[str], header: str, delimiter: str = ",") -> str:
    content = io.StringIO()
    csv.writer(content, delimiter=delimiter).writerows([header.split(","), *zip(*columns)])
    return content.getvalue()


def look(tmp_path: Path, content: str, name: str = "a.csv", encoding: str = "utf-8", **given: Any):
    (tmp_path / name).write_bytes(content.encode(encoding))
    return inspect_file(tmp_path / name, given)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_among_texts_that_hold_the_others(tmp_path, delimiter):
    content = rows(
        [f"{TEXT} {n}" for n in range(20)], ["1", "0"] * 10, ["0", "1"] * 10, header="t,a,b", delimiter=delimiter
    )
    found = look(tmp_path, content)
    assert found.settings.get("delimiter", ",") == delimiter
    assert found.settings["labels"] == ["a", "b"]
    assert found.corpus.texts[3] == f"{TEXT} 3"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings(tmp_path, encoding, expected):
    path = tmp_path / "a.csv"
    path.write_bytes("texto;año\nseñal;1\n".encode(encoding))
    assert found_encoding(path) == expected
    assert found_delimiter(path, expected) == ";"


def test_a_byte_that_is_not_utf_8_is_found_behind_the_first_block(tmp_path, monkeypatch):
    monkeypatch.setattr("mlemo.data.io.sniffing.BLOCK", 64)
    (tmp_path / "a.csv").write_bytes(b"text,a\n" + b"plain,1\n" * 50 + b"se\xf1al,0\n")
    assert found_encoding(tmp_path / "a.csv") == "cp1252"


@pytest.mark.parametrize(
    ("cells", "empty", "reason"),
    [
        (["x", "", "x", ""], "no", "0, as the columns with empty cells have no cell of 0: only 1 is marked"),
        (["1", "", "0", ""], "unknown", "not annotated, as a have cells of 0 beside empty ones"),
        (["1", "0", "0", "1"], None, None),
    ],
)
def test_what_an_empty_cell_means_is_decided_and_said(tmp_path, cells, empty, reason):
    found = look(tmp_path, rows([f"text number {n}" for n in range(4)], cells, header="t,a"))
    assert found.settings.get("empty") == empty
    assert found.remarks.get("empty") == reason
    assert found.empty_cells == cells.count("")
    assert bool(found.corpus.mask.all()) == (empty != "unknown")


def test_labels_without_a_zero_beside_columns_with_zeros_are_named(tmp_path):
    found = look(tmp_path, rows([f"text number {n}" for n in range(3)], ["1", "", "0"], ["1", "", "1"], header="t,a,b"))
    assert found.remarks["empty"].endswith("; but b then have no row that is 0")


@pytest.mark.parametrize("separator", [";", ",", "|", "/", " + "])
def test_a_column_of_names_and_its_separator(tmp_path, separator):
    sets = [["joy", "high hopes"], ["fear"], [], ["fear", "joy"]] * 6
    cells = [separator.join(names) for names in sets]
    found = look(
        tmp_path, rows([f"text, number {n}" for n in range(24)], ["mail", "chat"] * 12, cells, header="t,via,e")
    )
    assert found.settings["label_column"] == "e"
    assert found.settings["labels"] == ["fear", "high hopes", "joy"]
    assert found.corpus.labels.tolist() == [
        [float(name in names) for name in ["fear", "high hopes", "joy"]] for names in sets
    ]
    assert found.settings["empty"] == "no"
    assert found.unused == ["via"]


def test_lists_in_json_lines(tmp_path):
    sets = [["joy", "fear"], [], ["joy"]] * 4
    lines = [json.dumps({"id": n, "body": f"some text {n}", "tags": names}) for n, names in enumerate(sets)]
    found = look(tmp_path, "\n".join(lines), "a.jsonl")
    assert {key: found.settings[key] for key in ("text_column", "label_column", "id_column")} == {
        "text_column": "body", "label_column": "tags", "id_column": "id",
    }  # fmt: skip
    assert found.corpus.labels.sum(0).tolist() == [4, 8]


def test_several_columns_that_could_hold_the_labels_are_named(tmp_path):
    content = rows(
        [f"text number {n}" for n in range(12)], ["mail", "chat"] * 6, ["new", "old"] * 6, header="t,via,state"
    )
    with pytest.raises(ValueError, match=r"\(via, state could each be one\)\. Name it with --label_column COLUMN"):
        look(tmp_path, content)
    assert look(tmp_path, content, label_column="state").settings["labels"] == ["new", "old"]


def test_words_of_yes_and_no(tmp_path):
    found = look(tmp_path, rows([f"text number {n}" for n in range(4)], ["Sí", "no", "no", "1"], header="t,a"))
    assert (found.settings["true_values"], found.settings["false_values"]) == (["1", "sí"], ["no"])
    assert found.corpus.labels.flatten().tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("I have not had a reply and this is the second time that you were late", "English"),
        ("no me han respondido y es la segunda vez que llegan tarde con el pedido", "Spanish"),
        ("não me responderam e é a segunda vez que chegam tarde com o meu pedido", "Portuguese"),
        ("ich habe keine Antwort bekommen und das ist nicht das erste Mal für mich", "German"),
        ("je ne suis pas contente et ce n'est pas la première fois que le colis est en retard", "French"),
        ("non mi hanno risposto ed è la seconda volta che il pacco arriva in ritardo, sono molto delusa", "Italian"),
        ("ik heb nog niet gehoord van het bedrijf en dit is voor mij de tweede keer", "Dutch"),
        ("bu ürün çok kötü ama kargo için bir şey diyemem, ben memnun değilim", "Turkish"),
        ("الخدمة سيئة جدا ولم أحصل على رد", "Arabic"),
        ("我等了很久也没有收到回复", "Chinese"),
        ("とても嬉しいです、ありがとう", "Japanese"),
        ("배송이 너무 늦어서 화가 납니다", "Korean"),
        ("дуже дякую за допомогу, її було достатньо", "Ukrainian"),
    ],
)
def test_languages(text, name):
    found = language_of([text] * 30)
    assert (found.name, found.certain) == (name, True)


def test_an_uncertain_language_is_said_to_be():
    assert not language_of(["no"]).certain
    assert language_of(["12 345", "!!"]).name is None
    assert not language_of(["que de"] * 200).certain
