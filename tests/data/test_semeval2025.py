import re
import shutil
from pathlib import Path

import pytest
import torch

from mlemo.data.semeval2025 import EMOTIONS, LANGUAGES, SemEval2025

FIXTURE = Path(__file__).parent / "semeval2025"
PARTS = {"train": "train", "val": "dev", "test": "test"}
NO_DISGUST = ("anger", "fear", "joy", "sadness", "surprise")
NO_SURPRISE = ("anger", "disgust", "fear", "joy", "sadness")


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


def expected(rows: list[dict[str, str]], names: tuple[str, ...]) -> tuple[list[list[float]], list[list[bool]]]:
    labels = [[float(row.get(name) == "1") for name in names] for row in rows]
    mask = [[row.get(name, "") != "" for name in names] for row in rows]
    return labels, mask


def assert_reads(data: SemEval2025, rows: dict, codes: list[str]) -> None:
    for split, part in PARTS.items():
        corpus = data.corpus(split)
        table = [row for code in codes for row in rows.get((code, part), [])]
        labels, mask = expected(table, data.label_space.names)
        assert corpus.texts == [row["text"] for row in table]
        assert corpus.ids == [row["id"] for row in table]
        assert corpus.labels.tolist() == labels
        assert corpus.mask.tolist() == mask
        assert corpus.labels.dtype == torch.float32


JOINED = ["eng", "afr", "deu", "ind"]


@pytest.mark.parametrize("language", ["eng", "deu", "arq", "afr", JOINED])
def test_reads_the_released_files(make, language):
    codes = [language] if isinstance(language, str) else language
    assert_reads(SemEval2025(language, FIXTURE), make("semeval2025")["rows"](), codes)


@pytest.mark.parametrize("language", ["eng", "deu", "arq", "afr", JOINED])
def test_reads_the_layout_of_the_hub(make, tmp_path, language):
    script = make("semeval2025")
    script["write_hub"](tmp_path)
    codes = [language] if isinstance(language, str) else language
    assert_reads(SemEval2025(language, hub=str(tmp_path)), script["rows"](), codes)


def test_reads_the_folder_inside_track_a_too(make):
    assert_reads(SemEval2025("deu", FIXTURE / "track_a"), make("semeval2025")["rows"](), ["deu"])


def test_labels_are_known_without_files():
    assert SemEval2025().label_space.names == NO_DISGUST
    assert SemEval2025("afr").label_space.names == NO_SURPRISE
    for code in set(LANGUAGES) - {"eng", "afr"}:
        assert SemEval2025(code).label_space.names == EMOTIONS
    assert SemEval2025(["eng", "afr"]).label_space.names == EMOTIONS
    assert len(LANGUAGES) == len(set(LANGUAGES)) == 32


def test_labels_that_a_language_lacks_are_masked_where_languages_are_joined():
    corpus = SemEval2025(["eng", "afr"], FIXTURE).corpus("train")
    english = torch.tensor([identifier.startswith("eng") for identifier in corpus.ids])
    assert not corpus.mask[english, EMOTIONS.index("disgust")].any()
    assert corpus.mask[~english, EMOTIONS.index("disgust")].all()
    assert not corpus.mask[~english, EMOTIONS.index("surprise")].any()
    assert corpus.mask.sum() == 5 * len(corpus)


def test_empty_cells_are_unknown():
    corpus = SemEval2025("arq", FIXTURE).corpus("test")
    unknown = torch.tensor(["بلا حكم" in text for text in corpus.texts])
    assert unknown.sum() == 2
    assert torch.equal(corpus.mask, ~unknown[:, None].expand(corpus.mask.shape))
    none = corpus.texts.index("ما كان والو")  # annotated, with nothing: not the same thing
    assert corpus.mask[none].all()
    assert not corpus.labels[none].any()


@pytest.mark.parametrize("cell", [b"0", b""])
def test_a_column_of_zeros_or_blanks_for_a_label_that_is_not_annotated_is_left_out(tmp_path, cell):
    (tmp_path / "train").mkdir()
    head = b"id,text,anger,disgust,fear,joy,sadness,surprise\n"
    (tmp_path / "train" / "eng.csv").write_bytes(head + b"a,one,1," + cell + b",0,0,0,0\n")
    assert SemEval2025("eng", tmp_path).corpus("train").labels.tolist() == [[1, 0, 0, 0, 0]]
    (tmp_path / "train" / "eng.csv").write_bytes(head + b"a,one,1,1,0,0,0,0\n")
    with raises("eng.csv: unexpected column 'disgust', found ['id', 'text', 'anger', 'disgust', "):
        SemEval2025("eng", tmp_path).corpus("train")


def test_languages_without_a_training_part():
    data = SemEval2025("ind", FIXTURE)
    assert len(data.corpus("val")) == 11
    with raises("['ind'] have no training part, only dev and test"):
        data.corpus("train")
    joined = SemEval2025(["deu", "ind"], FIXTURE)
    assert {identifier[:3] for identifier in joined.corpus("train").ids} == {"deu"}
    assert {identifier[:3] for identifier in joined.corpus("test").ids} == {"deu", "ind"}


def test_languages_that_the_hub_lacks(tmp_path):
    with raises("the hub has no 'amh', which is of EthioEmo, not of BRIGHTER. The files", FileNotFoundError):
        SemEval2025("amh", hub=str(tmp_path)).corpus("train")


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("en", "data.language: unknown code 'en'. Did you mean 'eng'"),
        (["eng", "ptb"], "data.language: unknown code 'ptb'. Did you mean 'ptbr'"),
        ("english", "The codes are afr, amh, arq"),
        (["eng", "eng"], "data.language: expected one code or different ones, found ['eng', 'eng']"),
        ([], "data.language: expected one code or different ones, found []"),
    ],
)
def test_unknown_and_repeated_codes(language, message):
    with raises(message):
        SemEval2025(language)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b",disgust,", b",discust,", "deu.csv: no column 'disgust', found ['id', 'text', 'anger', 'discust', "),
        (b",disgust,", b",discust,", "Did you mean 'discust'?"),
        (b"text,", b"tweet,", "deu.csv: no column 'text', found ['id', 'tweet', "),
        (b",surprise\n", b",wonder\n", "no column 'surprise'"),
        (b",0,0,0,0,0,0\n", b",0,0,0,0,0,2\n", "deu.csv:3: column 'surprise' holds '2', expected 0, 1 or an"),
        (b"deu_dev_track_a_00002", b"deu_dev_track_a_00001", "the id 'deu_dev_track_a_00001' occurs a second time"),
        (b",0,0,0,0,0,0\n", b",0,0,0,0,0\n", "deu.csv:3: found 7 columns, expected 8"),
    ],
)
def test_faults(changed, old, new, message):
    folder = changed("semeval2025", "track_a/dev/deu.csv", old, new)
    with raises(message):
        SemEval2025("deu", folder).corpus("val")


def test_unexpected_columns(changed):
    folder = changed("semeval2025", "track_a/dev/deu.csv", b"Nichts.,0,0,0,0,0,0\n", b"Nichts.,0,0,0,0,0,0\n")
    path = folder / "track_a" / "dev" / "deu.csv"
    path.write_bytes(
        b"".join(line + b",1\n" for line in path.read_bytes().splitlines()).replace(b"surprise,1", b"surprise,trust")
    )
    with raises("deu.csv: unexpected column 'trust'"):
        SemEval2025("deu", folder).corpus("val")


def test_missing_files_are_answered_with_where_to_get_them(tmp_path):
    shutil.copytree(FIXTURE / "track_a" / "train", tmp_path / "train")
    with raises(
        "has none of ['dev/eng.csv', 'track_a/dev/eng.csv', 'track_c/dev/eng.csv'], found train. The files",
        FileNotFoundError,
    ):
        SemEval2025("eng", tmp_path).corpus("val")


COUNTS = """
arq train 901 91 5 296 206 223 153 404 313
arq dev 100 12 5 31 28 26 13 40 32
arq test 902 93 6 293 202 216 160 405 305
eng train 2768 239 5 333 - 1611 674 878 839
eng dev 116 13 4 16 - 63 31 35 31
eng test 2767 293 5 322 - 1544 670 881 799
deu train 2603 645 4 768 832 239 541 516 159
deu dev 200 49 5 61 61 20 40 48 15
deu test 2604 603 5 776 825 247 558 519 162
hau train 2145 276 4 408 329 327 320 647 349
hau dev 356 46 3 67 55 53 53 109 57
hau test 1080 139 5 209 168 169 162 328 177
ptbr train 2226 632 4 718 75 109 581 322 153
ptbr dev 200 46 3 58 5 8 62 28 21
ptbr test 2226 616 3 699 71 139 555 343 157
amh train 3549 611 3 1188 1268 109 549 771 151
amh dev 592 93 3 207 209 22 93 127 27
amh test 1774 317 3 582 628 54 276 355 82
"""  # language, part, rows, rows without a label, most labels in a row, rows of each emotion


@pytest.mark.parametrize("line", COUNTS.strip().splitlines())
def test_official_files_have_the_published_counts(official, line):
    code, part, rows, empty, most, *counts = line.split()
    split = {"train": "train", "dev": "val", "test": "test"}[part]
    corpus = SemEval2025(code, official("semeval2025_task11")).corpus(split)
    assert len(corpus) == len(set(corpus.ids)) == int(rows)
    assert (corpus.labels.sum(1) == 0).sum() == int(empty)
    assert corpus.labels.sum(1).max() == int(most)
    assert corpus.labels.sum(0).tolist() == [int(count) for count in counts if count != "-"]
    assert corpus.mask.all()


def test_official_files_of_all_languages_joined(official):
    data = SemEval2025(["arq", "eng", "deu", "hau", "ptbr", "amh"], official("semeval2025_task11"))
    corpus = data.corpus("train")
    assert len(corpus) == 901 + 2768 + 2603 + 2145 + 2226 + 3549
    assert (~corpus.mask).sum(0).tolist() == [0, 2768, 0, 0, 0, 0]  # English has no disgust
