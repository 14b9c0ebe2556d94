import re
from pathlib import Path

import pytest
import torch

from mlemo.data.rencecps import RenCECps

FIXTURE = Path(__file__).parent / "rencecps"


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


def test_reads_the_sentences_of_all_documents(make):
    rows = make("rencecps")["rows"]()
    expected = {
        f"{document.removesuffix('.xml')}-{p}-{s}": (text, [float(value > 0) for value in values])
        for document, paragraphs in rows.items()
        for p, paragraph in enumerate(paragraphs, start=1)
        for s, (text, values) in enumerate(paragraph, start=1)
    }
    corpus = RenCECps(FIXTURE).corpus("all")
    assert dict(zip(corpus.ids, zip(corpus.texts, corpus.labels.tolist()))) == expected
    assert len(corpus) == len(expected) == 32
    assert corpus.mask.all()
    assert corpus.labels.dtype == torch.float32
    assert corpus.labels[corpus.ids.index("more/cet_3-1-1")].sum() == 0
    assert corpus.texts[corpus.ids.index("cet_1-1-1")] == '没有感觉 & <平静> "嗯"'


def test_split_is_seeded_and_seventy_to_fifteen_to_fifteen():
    def ids(seed: int) -> list[list[str]]:
        data = RenCECps(FIXTURE, seed=seed)
        return [data.corpus(split).ids for split in ("train", "val", "test")]

    assert [len(part) for part in ids(42)] == [22, 5, 5]
    assert ids(42) == ids(42)
    assert ids(42) != ids(43)
    assert len(set().union(*ids(42))) == 32


def test_labels_are_known_without_files():
    names = ("joy", "hate", "love", "sorrow", "anxiety", "surprise", "anger", "expect")
    assert RenCECps().label_space.names == names


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b"<sentence S=",
            b"<sentence T=",
            "cet_3.xml, paragraph 1, sentence 1: found the attributes ['T'], expected 'S'",
        ),
        (b"<Love>0.0</Love>", b"", "cet_3.xml, paragraph 1, sentence 1: found ['Joy', 'Hate', 'Sorrow', "),
        (b"<Love>0.0<", b"<Love>1.5<", "paragraph 1, sentence 1: <Love> holds '1.5', expected a number from 0 to 1"),
        (b"<Love>0.0<", b"<Love>-0.1<", "<Love> holds '-0.1', expected a number from 0 to 1"),
        (b"<Love>0.0<", b"<Love>nan<", "<Love> holds 'nan', expected a number from 0 to 1"),
        (b"<Love>0.0<", b"<Love>much<", "<Love> holds 'much', expected a number from 0 to 1"),
        (b"<Love>0.0<", b"<Love><", "<Love> holds None, expected a number from 0 to 1"),
        (b"</sentence>", b"</sentense>", "cet_3.xml:30: not XML: mismatched tag"),
        (
            b'"UTF-8"',
            b'"no-such"',
            "cet_3.xml: unknown encoding: no-such; save the file as UTF-8 and say so in its first line",
        ),
    ],
)
def test_faults(changed, old, new, message):
    with raises(message):
        RenCECps(changed("rencecps", "more/cet_3.xml", old, new)).corpus("train")


def test_encoding_that_the_parser_does_not_know(changed):
    with raises("cet_3.xml: multi-byte encodings are not supported; save the file as UTF-8 and say so"):
        RenCECps(changed("rencecps", "more/cet_3.xml", b'"UTF-8"', b'"GB2312"')).corpus("train")


def test_nothing_to_read(tmp_path):
    with raises("no data_dir is given. Ren-CECps 1.0 is given by its authors", FileNotFoundError):
        RenCECps().corpus("train")
    with raises("has no cet_*.xml. Ren-CECps 1.0 is given by its authors", FileNotFoundError):
        RenCECps(tmp_path).corpus("train")
    (tmp_path / "cet_1.xml").write_text("<document><sentence S='a'/></document>")
    with raises("1 cet_*.xml files without a <sentence> in a <paragraph>"):
        RenCECps(tmp_path).corpus("train")
