import re
from pathlib import Path

import pytest

from mlemo.data.nlpcc2018 import NLPCC2018

FIXTURE = Path(__file__).parent / "nlpcc2018"
FILES = {"train": "train", "val": "dev", "test": "test"}


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


@pytest.mark.parametrize("english", ["absent", "present"])
def test_reads_the_released_files(make, english):
    rows = make("nlpcc2018")["rows"]()
    data = NLPCC2018(FIXTURE, english)
    on = ("T", "EN") if english == "present" else ("T",)
    for split, name in FILES.items():
        corpus = data.corpus(split)
        ids, texts, values = zip(*rows[name])
        assert corpus.ids == [str(number) for number in ids]
        assert corpus.texts == list(texts)
        assert corpus.labels.tolist() == [[float(value in on) for value in row] for row in values]
        assert corpus.mask.all()


def test_left_over_english_values_are_absent_as_in_the_organisers_script():
    absent, present = NLPCC2018(FIXTURE).corpus("test"), NLPCC2018(FIXTURE, english="present").corpus("test")
    assert absent.labels[:2].tolist() == [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert present.labels[:2].tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    with raises("data.english must be 'absent' or 'present', found 'yes'"):
        NLPCC2018(FIXTURE, english="yes")


def test_labels_are_known_without_files():
    assert NLPCC2018().label_space.names == ("happiness", "sadness", "anger", "fear", "surprise")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # the second post begins in line 22; its values stand in lines 24, 27, 30, 33, 36, its text in line 39
        (b'<Tweet id="1">\r\n', b"", ":22: found '<Happiness>', expected <Tweet id=\"…\">"),
        (b'<Tweet id="1">', b"<Tweet id=1>", ":22: found '<Tweet id=1>', expected <Tweet id=\"…\">"),
        (b'id="1">\r\n\t<Happiness>', b'id="1">\r\n\t<Sadness>', ":23: found '<Sadness>', expected <Happiness>"),
        (
            b'id="1">\r\n\t<Happiness>\r\n\tT',
            b'id="1">\r\n\t<Happiness>\r\n\tTRUE',
            ":24: found 'TRUE', expected T, F or EN",
        ),
        (b'id="1">\r\n\t<Happiness>\r\n\tT\r\n', b'id="1">\r\n\t<Happiness>\r\n', ":24: found '</Happiness>'"),
        (
            b'</Tweet>\r\n\r\n<Tweet id="2">',
            b'\r\n<Tweet id="2">',
            ":41: found an empty line, expected </Tweet> (the post begins in line 22)",
        ),
    ],
)
def test_malformed_posts(changed, old, new, message):
    path = changed("nlpcc2018", "dev.txt", b'id="0"', b'id="0"') / "dev.txt"
    content = path.read_bytes()
    first = content.index(b"</Tweet>") + 12  # leave the first post as it is
    assert old in content
    if old.startswith(b"</Tweet>"):
        path.write_bytes(content.replace(old, new, 1))
    else:
        path.write_bytes(content[:first] + content[first:].replace(old, new, 1))
    with raises("dev.txt" + message):
        NLPCC2018(path.parent).corpus("val")


def edit(changed, *lines: tuple[int, bytes | None]) -> Path:
    """The fixture with lines of dev.txt (counted from 1) replaced, or taken out where ``None`` is given."""
    path = changed("nlpcc2018", "dev.txt", b"<Tweet", b"<Tweet") / "dev.txt"
    content: list[bytes | None] = list(path.read_bytes().split(b"\r\n"))
    for number, line in lines:
        content[number - 1] = line
    path.write_bytes(b"\r\n".join(line for line in content if line is not None))
    return path.parent


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([(18, None)], ":18: found '</Content>', expected a line of text (the post begins in line 1)"),
        ([(18, b"\t")], ":18: found an empty line, expected a line of text"),
        ([(18, b"\tone\r\n\ttwo")], ":19: found 'two', expected </Content>"),
        ([(17, None), (18, None), (19, None)], ":17: found '</Tweet>', expected <Content>"),
        ([(5, b"\t<Anger>")], ":5: found '<Anger>', expected <Sadness>"),
        ([(21, b"stray")], ":21: found 'stray', expected <Tweet id=\"…\">"),
    ],
)
def test_malformed_lines(changed, lines, message):
    with raises("dev.txt" + message):
        NLPCC2018(edit(changed, *lines)).corpus("val")


def test_doubled_ids_are_named_with_the_lines_of_both_posts(changed):
    folder = changed("nlpcc2018", "dev.txt", b'id="1"', b'id="0"')
    with raises("dev.txt:22: the id '0' occurs a second time, first in"):
        NLPCC2018(folder).corpus("val")


def test_file_that_ends_inside_a_post(changed):
    path = changed("nlpcc2018", "dev.txt", b"<Tweet", b"<Tweet") / "dev.txt"
    path.write_bytes(b"\r\n".join(path.read_bytes().split(b"\r\n")[:37]))
    with raises("dev.txt: the file ends inside the post that begins in line 22, expected <Content>"):
        NLPCC2018(path.parent).corpus("val")


def test_missing_folder():
    with raises("no data_dir is given. NLPCC 2018 task 1 was given to its participants", FileNotFoundError):
        NLPCC2018().corpus("train")


COUNTS = {  # rows, rows with 0, 1, 2, 3 labels, rows of each label
    ("train", "absent"): (6000, [1896, 3469, 595, 40], [1824, 1086, 570, 648, 651]),
    ("val", "absent"): (728, [221, 418, 84, 5], [220, 120, 84, 85, 92]),
    ("test", "absent"): (1201, [313, 852, 36, 0], [438, 280, 102, 36, 68]),
    ("train", "present"): (6000, [1896, 3469, 595, 40], [1824, 1086, 570, 648, 651]),
    ("test", "present"): (1201, [245, 909, 47, 0], [490, 297, 111, 37, 68]),
}


@pytest.mark.parametrize(("split", "english"), COUNTS)
def test_official_files_have_the_published_counts(official, split, english):
    corpus = NLPCC2018(official("nlpcc2018"), english).corpus(split)
    rows, cardinality, labels = COUNTS[split, english]
    assert len(corpus) == len(set(corpus.ids)) == len(set(corpus.texts)) == rows
    assert [int((corpus.labels.sum(1) == number).sum()) for number in range(4)] == cardinality
    assert corpus.labels.sum(0).tolist() == labels
    assert corpus.ids[0] == ("1" if split == "test" else "0")
