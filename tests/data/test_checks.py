"""Sizes of the released files, and what is warned of where they differ."""

import re
from pathlib import Path

import pytest

from mlemo.data import NLPCC2018, ExaAEC, GoEmotions, Mulan, RenCECps, SemEval2018, SemEval2025
from mlemo.data.checks import count_warnings, fold_warnings
from mlemo.data.mulan_published import SIZES
from mlemo.data.semeval2025 import LANGUAGES, ROWS

HERE = Path(__file__).parent
FIXTURES = {  # file, rows and what the release has
    "goemotions": (GoEmotions, {}, "rows of the test split in .*test.tsv, expected 5,427 "),
    "semeval2018": (SemEval2018, {"language": "spanish"}, "rows of the train split in .*Es-train.txt, expected 3,561 "),
    "semeval2025": (SemEval2025, {"language": ["eng", "arq"]}, "rows of the val split in .*dev/arq.csv, expected 100 "),
    "nlpcc2018": (NLPCC2018, {}, "posts of the test split in .*test.txt, expected 1,201 "),
    "exaaec": (ExaAEC, {}, "rows in .*ExaAEC.csv, expected 20,050 "),
    "rencecps": (RenCECps, {}, "sentences in .*rencecps, expected 35,096 "),
    "mulan": (Mulan, {"name": "scene"}, "rows in .*scene-train.arff .*scene-test.arff .*scene.xml, expected 2,407 "),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_files_of_another_size_than_released_are_named(name):
    corpus, settings, message = FIXTURES[name]
    lines = corpus(data_dir=HERE / name, **settings).warnings()
    assert len([line for line in lines if re.match(rf"found [\d,]+ {message}as in the official release", line)]) == 1


@pytest.mark.parametrize(
    ("folder", "data"),
    [
        ("goemotions", GoEmotions),
        *[("semeval2018_ec", lambda path, name=name: SemEval2018(name, path)) for name in ("english", "arabic")],
        ("semeval2025_task11", lambda path: SemEval2025(sorted(ROWS), path)),
        ("nlpcc2018", NLPCC2018),
        ("exaaec", ExaAEC),
        *[
            ("mulan", lambda path, name=name: Mulan(name, path))
            for name in ("scene", "yeast", "enron", "bibtex", "cal500", "tmc2007", "llog")
        ],
    ],
)
def test_the_released_files_are_not_warned_of(official, folder, data):
    assert not [line for line in data(official(folder)).warnings() if "have no" not in line]


def test_counts():
    assert count_warnings(3, 3, "rows", "a.csv") == count_warnings(3, None, "rows", "a.csv") == ()
    assert count_warnings(1000, 2000, "rows", "a.csv") == (
        "found 1,000 rows in a.csv, expected 2,000 as in the official release",
    )
    assert set(ROWS) <= set(LANGUAGES)
    assert SIZES["scene"] == (2407, (294,), 6)


def test_folds():
    assert fold_warnings(30, 6, 5) == fold_warnings(1, 6, 0) == []
    assert fold_warnings(29, 6, 5) == [
        "val: 29 rows are few for thresholds of 6 labels fitted on 5 folds (fewer than 5 x 6 = 30)"
    ]
