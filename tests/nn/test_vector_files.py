"""Files of word vectors in every form, written here from known numbers, and every way in which they can be broken."""

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlemo.nn import vector_files
from mlemo.nn.vector_files import read_vectors

WORDS = ["the", "a", "café", "Sea", "sea", "海", "!", "2018"]
WIDTH = 6
VALUES = np.random.default_rng(0).normal(size=(len(WORDS), WIDTH)).astype(np.float32)
VALUES[1] = [0, 1, -1, 1e-7, 12345, 2]


def text_lines() -> list[str]:
    return [f"{word} {' '.join(repr(float(value)) for value in row)}" for word, row in zip(WORDS, VALUES)]


def glove() -> bytes:
    return "".join(line + "\n" for line in text_lines()).encode()


def with_header() -> bytes:
    return f"{len(WORDS)} {WIDTH}\n".encode() + glove()


def word2vec_text() -> bytes:
    """The original tool ends each line with a blank."""
    return f"{len(WORDS)} {WIDTH}\n".encode() + "".join(line + " \n" for line in text_lines()).encode()


def tabs_and_windows() -> bytes:
    return "".join(line.replace(" ", "\t") + "\r\n" for line in text_lines()).encode()


def binary(end: bytes = b"\n") -> bytes:
    rows = [word.encode() + b" " + struct.pack(f"<{WIDTH}f", *row) + end for word, row in zip(WORDS, VALUES)]
    return f"{len(WORDS)} {WIDTH}\n".encode() + b"".join(rows)


def binary_without_line_ends() -> bytes:
    return binary(b"")


FORMS: list[Callable[[], bytes]] = [
    glove, with_header, word2vec_text, tabs_and_windows, binary, binary_without_line_ends,
]  # fmt: skip


@pytest.mark.parametrize("chunk", [WIDTH * 4, 1 << 20])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_the_wanted_vectors(
    form: Callable[[], bytes], zipped: bool, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_files, "CHUNK", chunk)
    path = tmp_path / "vectors"
    path.write_bytes(gzip.compress(form()) if zipped else form())
    found = read_vectors(path, {"sea", "café", "海", "missing"})
    assert list(found) == ["café", "sea", "海"], "in the order of the file"
    for word, vector in found.items():
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, VALUES[WORDS.index(word)])
    everything = read_vectors(path, set(), most_frequent=100)
    np.testing.assert_array_equal(np.stack(list(everything.values())), VALUES)
    assert list(everything) == WORDS


@pytest.mark.parametrize("form", [glove, binary], ids=lambda form: form.__name__)
def test_the_first_words_of_the_file_are_kept_beside_the_wanted_ones(form: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(form())
    assert list(read_vectors(path, {"!"}, most_frequent=2)) == ["the", "a", "!"]


def test_a_word_that_stands_there_as_wanted_goes_before_one_that_becomes_it(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("US 1 1\nThe 2 2\nTHE 3 3\nus 4 4\nus 5 5\n")
    found = read_vectors(path, {"us", "the"}, normalize=str.lower)
    assert {word: vector.tolist() for word, vector in found.items()} == {"us": [4, 4], "the": [2, 2]}
    assert list(read_vectors(path, {"us", "The"})) == ["The", "us"]


def test_words_with_blanks_are_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2\n. . . 3 4\n\nsea 5 6")
    found = read_vectors(path, {"sea", ". . ."})
    assert {word: vector.tolist() for word, vector in found.items()} == {". . .": [3, 4], "sea": [5, 6]}
    assert list(read_vectors(path, {"."})) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2 3\nsea 1 2\n", ":2: expected a word and 3 numbers, found 2 after 'sea 1 2'"),
        ("the 1 2 3\n\nsea 1 2 3 4\n", ":3: expected a word and 3 numbers, found 4 after 'sea 1 2 3 4'"),
        ("2 3\nthe 1 2 3\nother 1 2\n", ":3: expected a word and 3 numbers, found 2"),
        ("the 1 2 3\nsea 1 x 3\n", ":2: could not convert string to float: b'x'"),
        ("2 3\nthe 1 2 3\nsea 1 nan 3\n", ":3: the vector of 'sea' holds a number that is not finite"),
        ("the 1 2 3\nsea 1 1e39 3\n", ":2: the vector of 'sea' holds a number that is not finite"),
        ("3 3\nthe 1 2 3\nsea 1 2 3\n", "has 2 words, but its header states 3; it may be truncated"),
        ("1 3\nthe 1 2 3\nsea 1 2 3\n", "has 2 words, but its header states 1"),
        ("word\nsea 1 2 3\n", ":1: expected a word and its numbers, or a header, found 'word"),
        ("", ":1: expected a word and its numbers, or a header, found ''"),
    ],
)
def test_a_broken_text_file_is_named_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"vectors\.txt,? ?{re.escape(message)}"):
        read_vectors(path, {"sea"})


@pytest.mark.parametrize("left", [1, WIDTH * 4 + 1])
def test_a_truncated_binary_file_is_named_with_the_word(left: int, tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    content = binary_without_line_ends()
    path.write_bytes(content[:-left])
    with pytest.raises(ValueError, match=r"vectors\.bin ends within word 8 of 8 stated in its header"):
        read_vectors(path, {"sea"})


def test_a_number_that_is_not_finite_in_a_binary_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    path.write_bytes(b"1 3\nsea " + struct.pack("<3f", 1.5, float("inf"), 0.3))
    with pytest.raises(ValueError, match=r"vectors\.bin, word 1: the vector of 'sea' holds a number that is not fin"):
        read_vectors(path, {"sea"})


def test_a_fasttext_model_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(struct.pack("<ii", 793712314, 12) + bytes(100))
    with pytest.raises(ValueError, match=r"model\.bin is a fastText model; expected its vectors alone \(\.vec\)"):
        read_vectors(path, {"sea"})
    with pytest.raises(FileNotFoundError, match=r"no file of word vectors at .*nowhere\.txt"):
        read_vectors(tmp_path / "nowhere.txt", {"sea"})


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(glove())
    monkeypatch.setattr(vector_files, "REPORT", 3)
    with caplog.at_level("INFO", logger="mlemo"):
        read_vectors(path, set())
    assert [record.getMessage() for record in caplog.records] == [f"vectors.txt: {n} words read" for n in (3, 6)]
