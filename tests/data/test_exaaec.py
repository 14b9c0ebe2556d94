import re
from pathlib import Path

import pytest

from mlemo.data import exaaec
from mlemo.data.exaaec import ExaAEC

FIXTURE = Path(__file__).parent / "exaaec"
SPLITS = ("train", "val", "test")


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


def test_reads_the_released_file(make):
    rows = make("exaaec")["rows"]()
    corpus = ExaAEC(FIXTURE, drop_spreadsheet_errors=False).corpus("all")
    found = {
        int(identifier): (text, set(corpus.label_space.decode(labels)))
        for identifier, text, labels in zip(corpus.ids, corpus.texts, corpus.labels.bool().tolist())
    }
    assert found == {row: (text, set(on)) for row, (text, on) in enumerate(rows)}
    assert corpus.mask.all()


def test_spreadsheet_errors_are_dropped_counted_and_do_not_move_the_split():
    kept, cleaned = ExaAEC(FIXTURE, drop_spreadsheet_errors=False), ExaAEC(FIXTURE)
    assert kept.corpus("all").dropped == {}
    assert cleaned.corpus("all").dropped == {"text is a spreadsheet error": 2}
    for split in SPLITS:
        texts = [text for text in kept.corpus(split).texts if text not in ("Err:508", "Err:509")]
        assert cleaned.corpus(split).texts == texts
    assert "# #" in cleaned.corpus("all").texts
    assert "no arabic letter here 123" in cleaned.corpus("all").texts


def test_split_is_seeded_stratified_and_keeps_equal_texts_on_one_side():
    def texts(seed: int) -> list[list[str]]:
        data = ExaAEC(FIXTURE, seed=seed, drop_spreadsheet_errors=False)
        return [data.corpus(split).texts for split in SPLITS]

    assert texts(42) == texts(42)
    assert texts(42) != texts(43)
    for seed in range(5):
        parts = texts(seed)
        assert [len(part) for part in parts] == pytest.approx([44, 8, 8], abs=4)  # rare labels favour small parts
        assert sum("نفس الكلام مرتين" in part for part in parts) == 1


def test_labels_are_known_without_files():
    assert len(ExaAEC().label_space) == 10
    assert ExaAEC().label_space.names[:2] == ("neutral", "joy")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"['neutral']", b"neutral", "ExaAEC.csv:2: label 'neutral', expected a list such as ['joy', 'love']"),
        (b"['neutral']", b"[]", "ExaAEC.csv:2: label '[]', expected a list"),
        (b"['neutral']", b"[1]", "ExaAEC.csv:2: label '[1]', expected a list"),
        (b"['neutral']", b"('neutral')", "ExaAEC.csv:2: label \"('neutral')\", expected a list"),
        (b"['neutral']", b"[open('x')]", "ExaAEC.csv:2: label \"[open('x')]\", expected a list"),
        (b"['neutral']", b"['neutrl']", "ExaAEC.csv:2: unknown label 'neutrl'. Did you mean 'neutral'?"),
        (b"['joy']", b"['joy'],x", "ExaAEC.csv:4: found 3 columns, expected 2 columns ['text', 'label']"),
        (b"text,label", b"text,labels", "ExaAEC.csv: no column 'label', found ['text', 'labels']. Did you mean"),
    ],
)
def test_faults(changed, old, new, message):
    with raises(message):
        ExaAEC(changed("exaaec", "ExaAEC.csv", old, new)).corpus("train")


def test_fetches_the_file_of_the_authors(monkeypatch):
    def download(url, checksum, how_to_get):
        assert url.startswith("https://raw.githubusercontent.com/exaco/exaaec/")
        assert len(checksum) == 64
        assert "data_dir" in how_to_get
        return FIXTURE / "ExaAEC.csv"

    monkeypatch.setattr(exaaec, "download", download)
    assert ExaAEC().corpus("train").texts == ExaAEC(FIXTURE).corpus("train").texts


def test_missing_file(tmp_path):
    with raises("has none of ['ExaAEC.csv'], found nothing. ExaAEC.csv lies in", FileNotFoundError):
        ExaAEC(tmp_path).corpus("train")


def test_official_file_has_the_published_counts(official):
    import hashlib

    folder = official("exaaec")
    assert hashlib.sha256((folder / "ExaAEC.csv").read_bytes()).hexdigest() == exaaec.SHA256
    whole = ExaAEC(folder, drop_spreadsheet_errors=False)
    corpus = whole.corpus("all")
    assert len(corpus) == len(set(corpus.ids)) == 20_050
    assert corpus.labels.sum(0).tolist() == [3787, 1114, 1300, 2092, 6318, 1892, 3689, 554, 1522, 4157]
    assert [int((corpus.labels.sum(1) == number).sum()) for number in (0, 1, 2)] == [0, 13_675, 6_375]
    assert len(corpus) - len(set(corpus.texts)) == 51
    sides = [set(whole.corpus(split).texts) for split in SPLITS]
    assert sum(map(len, sides)) == len(set(corpus.texts))  # no text on two sides
    for split, fraction in zip(SPLITS, (0.8, 0.1, 0.1)):
        part = whole.corpus(split).labels
        assert len(part) == pytest.approx(fraction * 20_050, rel=0.01)
        assert part.sum(0).tolist() == pytest.approx((fraction * corpus.labels.sum(0)).tolist(), rel=0.03)
    cleaned = ExaAEC(folder).corpus("all")
    assert len(cleaned) == 20_047
    assert cleaned.dropped == {"text is a spreadsheet error": 3}
    assert set(corpus.ids) - set(cleaned.ids) == {str(line - 2) for line in (1866, 4645, 5359)}
