import re
import shutil
from pathlib import Path

import pytest

from mlemo.data.semeval2018 import LABELS, SemEval2018

FIXTURE = Path(__file__).parent / "semeval2018"
PARTS = {"train": "train", "val": "dev", "test": "test-gold"}
CODES = {"english": "En", "arabic": "Ar", "spanish": "Es"}


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


@pytest.mark.parametrize("language", CODES)
def test_reads_the_released_files(make, language):
    rows = make("semeval2018")["rows"]()
    data = SemEval2018(language, FIXTURE, unescape=False)
    for split, part in PARTS.items():
        corpus = data.corpus(split)
        ids, texts, on = zip(*rows[f"2018-E-c-{CODES[language]}-{part}.txt"])
        assert corpus.ids == list(ids)
        assert corpus.texts == [text.replace("\\n", " ").replace("\ufeff", "") for text in texts]
        assert [corpus.label_space.decode(row) for row in corpus.labels.bool().tolist()] == [o.split() for o in on]
        assert corpus.mask.all()
        assert (corpus.labels.sum(1) == 0).any()  # no label at all is a valid answer


def test_what_a_tweet_becomes():
    texts = SemEval2018("english", FIXTURE).corpus("train").texts
    assert "First line second line & more" in texts
    assert "mark before the first word" in texts
    assert " blanks at both ends  " in texts
    assert '1 < 2 "yes"' in texts
    assert "family \U0001f468\u200d\U0001f469\u200d\U0001f467 and a hard\u00a0blank" in texts
    assert "First line second line &amp; more" in SemEval2018("english", FIXTURE, unescape=False).corpus("train").texts
    assert '"بداية بلا نهاية' in SemEval2018("arabic", FIXTURE).corpus("train").texts


def test_reads_the_official_archive(tmp_path):
    shutil.copytree(FIXTURE, tmp_path / "Arabic" / "E-c")
    assert SemEval2018("arabic", tmp_path).corpus("val").texts == SemEval2018("arabic", FIXTURE).corpus("val").texts


def test_labels_are_known_without_files():
    assert SemEval2018().label_space.names == LABELS
    assert LABELS[0] == "anger"
    assert LABELS[-1] == "trust"


def test_unknown_language():
    with raises("data.language must be one of ['english', 'arabic', 'spanish'], found 'german'"):
        SemEval2018("german")


def test_data_that_may_not_be_passed_on_are_not_fetched(tmp_path):
    for data_dir in (None, tmp_path):
        with raises("competitions.codalab.org/competitions/17751", FileNotFoundError):
            SemEval2018("english", data_dir).corpus("test")
        with raises("2018-E-c-En-test-gold.txt", FileNotFoundError):
            SemEval2018("english", data_dir).corpus("test")


def test_unlabelled_competition_files_are_told_apart(tmp_path):
    content = (FIXTURE / "2018-E-c-En-test-gold.txt").read_text(encoding="utf-8")
    head, *rows = content.splitlines(keepends=True)
    unlabelled = [re.sub(r"\t[01]", "\tNONE", row) for row in rows]
    (tmp_path / "2018-E-c-En-test-gold.txt").write_text("".join([head, *unlabelled]), encoding="utf-8", newline="")
    with raises(":2: 'NONE' in place of 0 or 1: this is an unlabelled file of the competition"):
        SemEval2018("english", tmp_path).corpus("test")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\ttrust\r\n", b"\ttrusts\r\n", "2018-E-c-Es-dev.txt:1: found the header ['ID', 'Tweet', 'anger',"),
        (b"anger\tanticipation", b"anticipation\tanger", ":1: found the header ['ID', 'Tweet', 'anticipation', "),
        (b"\t1\t", b"\t2\t", "column '"),
        (b"\t1\t", b"\t\t", "holds '', expected 0 or 1"),
        (b"\t1\t", b"\t", "found 12 columns, expected 13 columns"),
        (b"\xc3\xb1o", b"\xf1o", "byte 0xf1 is not UTF-8"),
    ],
)
def test_faults(changed, old, new, message):
    folder = changed("semeval2018", "2018-E-c-Es-dev.txt", old, new)
    with raises(message) as caught:
        SemEval2018("spanish", folder).corpus("val")
    assert re.search(r"2018-E-c-Es-dev\.txt:\d+: ", str(caught.value))


COUNTS = {  # rows; rows with 0, 1, … 6 labels; rows of each label
    ("english", "train"): (6838, "204/982/2773/2114/658/96/11", "2544, 978, 2602, 1242, 2477, 700, 1984, 795, 2008, 361, 357"),  # noqa: E501
    ("english", "val"): (886, "14/117/351/290/99/14/1", "315, 124, 319, 121, 400, 132, 307, 100, 265, 35, 43"),
    ("english", "test"): (3259, "75/382/1367/1055/316/60/4", "1101, 425, 1099, 485, 1442, 516, 1143, 375, 960, 170, 153"),  # noqa: E501
    ("arabic", "train"): (2278, "15/487/889/680/178/26/3", "899, 206, 433, 391, 605, 562, 561, 499, 842, 47, 120"),
    ("arabic", "val"): (585, "2/112/220/184/53/14/0", "215, 57, 106, 94, 179, 175, 169, 125, 217, 13, 36"),
    ("arabic", "test"): (1518, "8/311/578/439/144/35/3", "609, 158, 316, 295, 393, 367, 344, 377, 579, 38, 77"),
}  # fmt: skip


@pytest.mark.parametrize(("language", "split"), COUNTS)
def test_official_files_have_the_published_counts(official, language, split):
    corpus = SemEval2018(language, official("semeval2018_ec")).corpus(split)
    rows, cardinality, labels = COUNTS[language, split]
    assert len(corpus) == len(set(corpus.ids)) == len(set(corpus.texts)) == rows
    assert "/".join(str(int((corpus.labels.sum(1) == number).sum())) for number in range(7)) == cardinality
    assert ", ".join(str(int(count)) for count in corpus.labels.sum(0)) == labels
    assert not any("\\n" in text or text.startswith("\ufeff") or "\r" in text for text in corpus.texts)
