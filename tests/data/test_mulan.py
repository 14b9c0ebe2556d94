import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from sklearn.preprocessing import MinMaxScaler

from mlemo.data import Corpus, Mulan, statistics
from mlemo.data.mulan_published import LABELS_AT_END, SHIFTS
from mlemo.labels import LabelSpace

FIXTURES = Path(__file__).parent / "mulan"
SPLITS = ("train", "val", "test")


def raises(message: str, error: type[Exception] = ValueError):
    return pytest.raises(error, match=re.escape(message))


@pytest.fixture
def dataset(tmp_path):
    """A dataset of one's own: attributes with their types, rows, XML; returns the folder around it."""

    def write(attributes: dict[str, str], rows: list[str], labels: str | list[str], name: str = "own") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        header = [f"@attribute '{attribute}' {kind}" for attribute, kind in attributes.items()]
        (folder / f"{name}.arff").write_text("\n".join([*header, "@data", *rows]))
        if not isinstance(labels, str):
            labels = "<labels>" + "".join(f"\n<label name='{label}'/>" for label in labels) + "</labels>"
        (folder / f"{name}.xml").write_text(labels)
        return tmp_path

    return write


def planted(rows: int, inputs: int, rates: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(rows, inputs)).round(3), (draw.random((rows, len(rates))) < rates).astype(int)


@pytest.fixture
def planted_dataset(dataset):
    """400 rows, 5 inputs and 4 labels, one of them rare."""
    features, labels = planted(400, 5, [0.5, 0.3, 0.1, 0.02])
    attributes = {f"x{number}": "numeric" for number in range(5)} | {f"y{number}": "{0,1}" for number in range(4)}
    rows = [",".join(map(str, [*inputs, *on])) for inputs, on in zip(features, labels)]
    return dataset(attributes, rows, ["y0", "y1", "y2", "y3"]), features, labels


# reading --------------------------------------------------------------------------------------------------------


def test_fixture_is_what_its_script_writes(make, tmp_path):
    def contents(folder):
        unzip = {".gz": gzip.decompress}  # another zlib may pack the same bytes otherwise
        return {
            path.relative_to(folder): unzip.get(path.suffix, bytes)(path.read_bytes())
            for path in folder.rglob("*.*")
            if path.suffix not in (".py", ".pyc")
        }

    make("mulan")["write"](tmp_path)
    assert contents(tmp_path) == contents(FIXTURES)


def test_dense_rows_in_two_files(make):
    script = make("mulan")
    data = Mulan("scene", FIXTURES)
    corpus = data.corpus("all")
    assert corpus.ids == [str(row) for row in range(script["ROWS"])]
    assert corpus.label_space == data.label_space == LabelSpace(script["DENSE_LABELS"])
    for row, inputs, labels in zip(script["dense_rows"](), corpus.features.tolist(), corpus.labels.tolist()):
        assert labels == [float(row[name]) for name in script["DENSE_LABELS"]]
        stone = [row["kind of stone"] == value for value in ("hard, grey", "chalk", "50% clay")]
        expected = [row["height"], *stone, row["wet"] == "yes", row["shade"] == "1", row["width"]]
        assert inputs == pytest.approx([float(value) for value in expected])


def test_sparse_rows_in_gzip_with_a_hierarchy_of_labels(make):
    script = make("mulan")
    data = Mulan("parcels", FIXTURES)
    corpus = data.corpus("all")
    assert data.label_space.names == script["SPARSE_LABELS"]
    assert data.label_space.groups == (("land", "water"), ("field", "wood"), ("pond",))
    for (on, inputs), features, labels in zip(script["sparse_rows"](), corpus.features, corpus.labels.tolist()):
        assert labels == [on[name] for name in script["SPARSE_LABELS"]]
        torch.testing.assert_close(features, torch.tensor(inputs))
    assert corpus.features.dtype == corpus.labels.dtype == torch.float32
    assert len(corpus) == script["SPARSE_ROWS"]


def test_absent_cells_of_a_sparse_row_are_the_first_declared_value(dataset):
    attributes = {"on": "{1,0}", "colour": "{red,green,blue}", "y": "{1,0}", "z": "{0,1}"}
    folder = dataset(attributes, ["{0 0,1 blue}", "{2 0}", "{3 1,1 red}"], ["z", "y"])
    corpus = Mulan("own", folder, folds=3).corpus("all")
    assert corpus.features.tolist() == [[0, 0, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert corpus.labels.tolist() == [[0, 1], [0, 0], [1, 1]]


def test_inputs_of_every_kind_keep_their_order(dataset):
    attributes = {"a": "{p,q}", "y": "numeric", "b": "{p,q,r}", "c": "string", "d": "{0,1,2}", "e": "real", "f": "{k}"}
    corpus = Mulan("own", dataset(attributes, ["q,1,r,?,2,-1.5,k", "p,0.0,p,'s t',0,7,k"], ["y"])).corpus("all")
    assert corpus.features.tolist() == [[1, 0, 0, 1, 0, 0, 1, -1.5, 0], [0, 1, 0, 0, 1, 0, 0, 7, 0]]
    assert corpus.labels.tolist() == [[1], [0]]


def test_labels_are_known_from_the_xml_alone(tmp_path):
    shutil.copytree(FIXTURES / "scene", tmp_path / "scene")
    for path in (tmp_path / "scene").glob("*.arff"):
        path.write_text("broken")
    assert Mulan("scene", tmp_path).label_space.names[:2] == ("Grün", "7")
    with raises("scene-train.arff:1: found 'broken'"):
        Mulan("scene", tmp_path).corpus("train")


def test_without_a_folder_it_says_where_such_data_are_had(tmp_path):
    with raises("Mulan('yeast') needs data.data_dir. MULAN's datasets are listed at", FileNotFoundError):
        Mulan("yeast").corpus("train")
    with raises("yeast has no .arff, .arff.gz or .mat file, found no such folder. MULAN's", FileNotFoundError):
        Mulan("yeast", tmp_path).corpus("train")
    (tmp_path / "yeast").mkdir()
    (tmp_path / "yeast" / "yeast.txt").touch()
    with raises("found ['yeast.txt']. MULAN's datasets", FileNotFoundError):
        _ = Mulan("yeast", tmp_path).label_space


ONE = "@attribute x numeric\n@attribute y {{0,1}}\n@data\n{},1\n"


@pytest.mark.parametrize(
    ("files", "file", "found"),
    [
        (["own.arff"], None, [0]),
        (["other name.ARFF"], None, [0]),
        (["own-test.arff", "own-train.arff"], None, [1, 0]),
        (["own_train.arff", "own_test.arff", "own.arff"], None, [2]),
        (["own-train.arff"], None, [0]),
        (["contest.arff", "own-train.arff", "own-test.arff"], None, [0]),
        (["train.arff", "test.arff"], None, [0, 1]),
        (["own.arff", "other.arff"], "other.arff", [1]),
        (["own-train.arff", "own-test.arff"], "own-test.arff", [1]),
        (["own.arff", "other.arff"], None, "has ['other.arff', 'own.arff']: name the one to read as data.file"),
        (["own-train.arff", "b-train.arff"], None, "has ['b-train.arff', 'own-train.arff']: name the one"),
        (["own.arff"], "othr.arff", "has no 'othr.arff', found ['labels.xml', 'own.arff']"),
    ],
)
def test_which_files_are_read(tmp_path, files, file, found):
    for number, name in enumerate(files):
        (tmp_path / name).write_text(ONE.format(number) * 1)
    (tmp_path / "labels.xml").write_text("<labels><label name='y'/></labels>")
    data = Mulan(tmp_path.name, tmp_path.parent, file=file)
    if isinstance(found, str):
        with raises(found, FileNotFoundError if file else ValueError):
            data.corpus("all")
    else:
        assert data.corpus("all").features.ravel().tolist() == found


def test_which_xml_is_read(tmp_path):
    (tmp_path / "own-train.arff").write_text(ONE.format(3))
    with raises("has no .xml file, found ['own-train.arff']; it names the labels", FileNotFoundError):
        _ = Mulan(tmp_path.name, tmp_path.parent).label_space
    (tmp_path / "other.xml").write_text("<labels><label name='x'/></labels>")
    assert Mulan(tmp_path.name, tmp_path.parent).label_space.names == ("x",)
    (tmp_path / "Own.XML").write_text("<labels><label name='y'/></labels>")
    assert Mulan(tmp_path.name, tmp_path.parent).label_space.names == ("y",)
    (tmp_path / "Own.XML").rename(tmp_path / "third.xml")
    with raises("has ['other.xml', 'third.xml'], expected one .xml file or one like own.xml"):
        _ = Mulan(tmp_path.name, tmp_path.parent).label_space


@pytest.mark.parametrize("declared", ["{0,1}", "{0.0,1.0}", "{1.0,0.0}", "{'1.','+0'}", "{1e0,0e0}", "numeric"])
def test_zero_and_one_in_any_spelling(dataset, declared):
    no, yes = ("0", "1") if declared == "numeric" else sorted(re.findall(r"[\w.+]+", declared), key=float)
    rows = [f"{no},{yes}", f"{yes},{yes}", f"{yes},{no}"]
    folder = dataset({"x": declared, "y": declared}, rows, "<labels><label name='y'/></labels>")
    corpus = Mulan("own", folder).corpus("all")
    assert sorted(zip(corpus.features.ravel().tolist(), corpus.labels.ravel().tolist())) == [(0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("declared", ["{0.0,1.5}", "{-0,0_1}", "{0,one}", "{nan,1}"])
def test_other_numbers_and_words_are_no_labels(dataset, declared):
    values = declared[1:-1].split(",")
    wrong = "nan" if "nan" in values else values[1]
    folder = dataset({"x": "numeric", "y": declared}, [f"2,{value}" for value in values * 3],
                     "<labels><label name='y'/></labels>")  # fmt: skip
    with raises(f"own.arff:{4 + values.index(wrong)}: label 'y' holds '{wrong}', expected 0 or 1"):
        Mulan("own", folder).corpus("all")


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<labels>\n<label name='y'/>\n<label name='yy'/></labels>", "own.xml:3: label 'yy' is no attribute of"),
        (
            "<labels>\n<label name='y'/>\n<label name='y'/></labels>",
            ":3: label 'y' occurs a second time, see",
        ),
        ("<labels>\n<label nam='y'/></labels>", "own.xml:2: a label without a name"),
        ("<labels>\n<label name=' '/></labels>", "own.xml:2: a label without a name"),
        ("<labels>\n\n<label name='y'></labels>", "own.xml:3: not readable as XML: mismatched tag"),
        ("", "own.xml:1: not readable as XML: no element found"),
        ("<labels/>", "own.xml: names no label, expected <labels><label name="),
        ("<labels><label name='t'/></labels>", "own.arff:2: label 't' is a text, expected 0 and 1"),
        ("<labels><label name='x'/></labels>", "own.arff:7: label 'x' holds '0.5', expected 0 or 1"),
        ("<labels><label name='w'/></labels>", "own.arff:6: label 'w' holds 'no', expected 0 or 1"),
        ("<labels><label name='y'/></labels>", "own.arff:8: label 'y' holds '2', expected 0 or 1"),
    ],
)
def test_faults_of_labels(dataset, xml, message):
    attributes = {"x": "numeric", "t": "string", "w": "{no,yes}", "y": "{0,1,2}"}
    folder = dataset(attributes, ["1,?,no,1", "0.5,?,no,0", "2,?,yes,2"], xml)
    with raises(message):
        Mulan("own", folder).corpus("all")


def test_a_label_that_the_xml_leaves_out_between_others_is_named(dataset):
    attributes = {"x": "numeric", "a": "{0,1}", "b": "{0,1}", "c": "{0,1}"}
    rows = ["1,0,1,0", "2,1,0,1", "3,1,1,0"] * 20
    assert not any("<label>" in line for line in Mulan("own", dataset(attributes, rows, ["a", "b", "c"])).warnings())
    (line,) = [line for line in Mulan("own", dataset(attributes, rows, ["a", "c"])).warnings() if "<label>" in line]
    assert line.endswith("own.arff and are taken for inputs; is a <label> missing?")
    assert "own.xml names 2 labels, but not b, which are between them" in line


def test_lines_that_a_released_dataset_lacks_are_noticed(dataset, monkeypatch):
    from mlemo.data import mulan_published

    monkeypatch.setitem(mulan_published.SIZES, "own", (60, (2, 9), 2))

    def sizes(attributes, rows, labels):
        lines = Mulan("own", dataset(attributes, rows, labels)).warnings()
        return [line.split(" in ")[0] + line[line.index(", expected") :] for line in lines if "official" in line]

    attributes = {"x": "numeric", "y": "numeric", "a": "{0,1}", "b": "{0,1}"}
    rows = ["{0 1.5,2 1}", "{1 2,3 1}", "{0 1}"] * 20
    end = "as in the official release"
    assert sizes(attributes, rows, ["a", "b"]) == []
    # a <label> line is missing: the last label has become an input, which no other check can see
    assert sizes(attributes, rows, ["a"]) == [f"found 3 inputs, expected 2 {end}", f"found 1 labels, expected 2 {end}"]
    # an @attribute line is missing: the columns of sparse rows without the last one are shifted in silence
    del attributes["x"]
    shifted = ["{0 1.5,2 1}", "{1 1}", "{0 1}"] * 20
    assert sizes(attributes, shifted, ["a", "b"]) == [f"found 1 inputs, expected 2 {end}"]
    assert sizes(attributes, shifted[:30], ["a", "b"])[0] == f"found 30 rows, expected 60 {end}"


def test_train_and_test_files_must_agree(tmp_path):
    shutil.copytree(FIXTURES / "scene", tmp_path / "scene")
    path = tmp_path / "scene" / "scene-test.arff"
    path.write_bytes(path.read_bytes().replace(b"{1,0}", b"{0,1}", 1))
    with raises("scene-test.arff:12: attribute 'seven' differs from 'seven' in"):
        Mulan("scene", tmp_path).corpus("all")


# MATLAB ---------------------------------------------------------------------------------------------------------


def test_matlab_file(tmp_path):
    data, target = np.arange(12).reshape(4, 3), np.array([[1, 0, 0, 1], [0, 1, 1, 1]])
    savemat(tmp_path / "m.mat", {"data": data, "target": target})
    corpus = Mulan(tmp_path.name, tmp_path.parent).corpus("all")
    assert corpus.features.tolist() == data.tolist()
    assert corpus.labels.tolist() == target.T.tolist()
    assert corpus.label_space.names == ("label 1", "label 2")
    (tmp_path / "own.arff").write_text(ONE.format(3))  # goes before, unless the other is named
    (tmp_path / "own.xml").write_text("<labels><label name='y'/></labels>")
    assert Mulan(tmp_path.name, tmp_path.parent).label_space.names == ("y",)
    assert len(Mulan(tmp_path.name, tmp_path.parent, file="m.mat").label_space) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "m.mat: not readable as a MATLAB file of version 7.2 or before"),
        (
            {"data": np.ones((4, 3))},
            "m.mat: expected 'data' (rows x inputs) and 'target' (labels x rows), found {'data'",
        ),
        ({"data": np.ones((4, 3)), "target": np.ones((4, 2))}, "m.mat: expected 'data' (rows x inputs) and 'target'"),
        ({"data": np.ones((4, 3)), "target": 2 * np.eye(2, 4)}, "'target' holds 2.0 for label 1 in row 1, not 0/1"),
        ({"data": np.full((4, 3), np.nan), "target": np.eye(2, 4)}, "m.mat: 'data' holds values that are no finite"),
    ],
)
def test_faults_of_matlab_files(tmp_path, content, message):
    if content is None:
        (tmp_path / "m.mat").write_text("no MATLAB file, though it is long enough for a header\n" * 9)
    else:
        savemat(tmp_path / "m.mat", content)
    with raises(message):
        Mulan(tmp_path.name, tmp_path.parent).corpus("all")


# folds ----------------------------------------------------------------------------------------------------------


def test_folds(planted_dataset):
    folder, _, labels = planted_dataset
    seen = []
    for fold in range(5):
        data = Mulan("own", folder, fold=fold)
        parts = [[int(row) for row in data.corpus(split).ids] for split in SPLITS]
        assert sorted(row for part in parts for row in part) == list(range(400))
        assert [len(part) for part in parts] == pytest.approx([320, 40, 40], abs=8)  # labels come before sizes
        for part, size in zip(parts, (0.8, 0.1, 0.1)):
            assert np.abs(labels[part].sum(0) - size * labels.sum(0)).max() <= 2
        for split, part in zip(SPLITS, parts):
            assert data.corpus(split).labels.tolist() == labels[part].tolist()
        again = Mulan("own", folder, fold=fold)
        assert [again.corpus(split).ids for split in SPLITS] == [[str(row) for row in part] for part in parts]
        seen += parts[1] + parts[2]
    assert sorted(seen) == list(range(400))  # every row is held out exactly once
    assert Mulan("own", folder, seed=1).corpus("test").ids != Mulan("own", folder).corpus("test").ids
    assert len(Mulan("own", folder, folds=10).corpus("test")) == pytest.approx(20, abs=3)


def test_the_halving_is_seeded_and_stratified(planted_dataset, monkeypatch):
    fold = list(range(0, 400, 5))  # the same fold whatever the seed
    monkeypatch.setattr("mlemo.data.mulan.stratified_folds", lambda labels, folds, seed: [fold] * folds)
    halves = [[Mulan("own", planted_dataset[0], seed=seed).corpus(split) for split in SPLITS[1:]] for seed in (1, 2, 2)]
    assert halves[1][0].ids == halves[2][0].ids != halves[0][0].ids
    for val, test in halves:
        assert sorted(map(int, val.ids + test.ids)) == fold
        assert (val.labels.sum(0) - test.labels.sum(0)).abs().max() <= 2


def test_train_rows_takes_a_part_of_the_training_rows_only(planted_dataset):
    data, whole = (Mulan("own", planted_dataset[0], train_rows=rows) for rows in (50, None))
    assert len(data.corpus("train")) == 50
    assert set(data.corpus("train").ids) < set(whole.corpus("train").ids)
    assert data.corpus("test").ids == whole.corpus("test").ids
    assert len(data.corpus("all")) == 400


# options --------------------------------------------------------------------------------------------------------


def test_scaling_against_scikit_learn(planted_dataset):
    folder, features, _ = planted_dataset
    data = Mulan("own", folder, fold=2, scaling="train")
    rows = {split: [int(row) for row in data.corpus(split).ids] for split in SPLITS}
    for scaling, fitted in (("train", rows["train"]), ("all", range(400))):
        scaler = MinMaxScaler().fit(features[list(fitted)])
        scaled = Mulan("own", folder, fold=2, scaling=scaling)
        for split in SPLITS:
            expected = torch.tensor(scaler.transform(features[rows[split]]), dtype=torch.float32)
            torch.testing.assert_close(scaled.corpus(split).features, expected, atol=1e-6, rtol=1e-5)
        whole = torch.tensor(scaler.transform(features), dtype=torch.float32)
        torch.testing.assert_close(scaled.corpus("all").features, whole, atol=1e-6, rtol=1e-5)
        part = scaled.corpus("train" if scaling == "train" else "all").features
        assert part.amin(0).tolist() == [0] * 5
        assert part.amax(0).tolist() == [1] * 5
    plain = Mulan("own", folder, fold=2).corpus("all").features
    torch.testing.assert_close(plain, torch.tensor(features, dtype=torch.float32))


def test_scaling_of_sparse_and_constant_inputs(dataset):
    rows = ["{0 4,1 3,2 -1}", "{1 3}", "{0 2,1 3,2 5}"]
    folder = dataset({"a": "numeric", "b": "numeric", "c": "numeric", "y": "{0,1}"}, rows, ["y"])
    features = Mulan("own", folder, scaling="all").corpus("all").features
    torch.testing.assert_close(features, torch.tensor([[1, 0, 0], [0, 0, 1 / 6], [0.5, 0, 1]]))
    # an input that is constant among the training rows only
    data = Mulan("own", folder, folds=3, scaling="train")
    data._rows = {"train": np.array([0, 1]), "val": np.array([1]), "test": np.array([2])}
    assert data.corpus("test").features.tolist() == [[0.5, 0, 6]]  # outside [0, 1] where the fitted range ends before
    data = Mulan("own", folder, folds=3, scaling="train")
    data._rows = {"train": np.array([1]), "val": np.array([1]), "test": np.array([2])}
    assert data.corpus("test").features.tolist() == [[0, 0, 0]]


def test_min_positives(planted_dataset):
    folder, _, labels = planted_dataset
    counts = labels.sum(0)
    data = Mulan("own", folder, min_positives=int(counts[2]))
    assert data.label_space.names == ("y0", "y1", "y2")
    assert data.corpus("all").labels.tolist() == labels[:, :3].tolist()
    assert len(Mulan("own", folder, min_positives=int(counts[3])).label_space) == 4
    assert data.corpus("all").features.shape == (400, 5)  # the label left out is no input
    with raises(f"data.min_positives is 401, but the most frequent label has {counts.max()} positives"):
        Mulan("own", folder, min_positives=401).corpus("all")


def test_min_positives_and_groups():
    whole = Mulan("parcels", FIXTURES).corpus("all")
    counts = dict(zip(whole.label_space.names, whole.labels.sum(0).tolist()))
    least = sorted(counts, key=counts.get)[:2]  # wood and pond
    data = Mulan("parcels", FIXTURES, min_positives=int(sorted(counts.values())[2]))
    assert set(data.label_space.names) == counts.keys() - set(least)
    groups = [tuple(name for name in group if name not in least) for group in whole.label_space.groups]
    assert data.label_space.groups == tuple(group for group in groups if group)
    assert len(data.label_space.groups) < 3  # one group has gone with its only label


def test_feature_fraction(planted_dataset):
    folder, features, _ = planted_dataset
    for fraction, count in ((0.6, 3), (0.79, 3), (0.2, 1), (1.0, 5)):
        kept = sorted(sorted(range(5), key=lambda column: -features[:, column].sum())[:count])
        found = Mulan("own", folder, feature_fraction=fraction).corpus("all").features
        torch.testing.assert_close(found, torch.tensor(features[:, kept], dtype=torch.float32))
    assert kept != list(range(3))  # the largest are not the first
    with raises("data.feature_fraction is 0.1: that leaves none of 5 inputs"):
        Mulan("own", folder, feature_fraction=0.1).corpus("all")


def test_of_equal_column_sums_the_first_are_kept(dataset):
    attributes = {"a": "numeric", "b": "numeric", "c": "numeric", "d": "numeric", "y": "{0,1}"}
    folder = dataset(attributes, ["1,0,1,5,0", "0,1,0,5,1"], ["y"])
    found = Mulan("own", folder, feature_fraction=0.75).corpus("all").features
    assert found.tolist() == [[1, 0, 5], [0, 1, 5]]


def test_as_published_takes_the_last_columns_for_labels(dataset):
    attributes = {"y0": "{0,1}", "y1": "{0,1}"} | {f"x{number}": "numeric" for number in range(9)}
    rows = ["1,0,.5,0,2,0,1,0,1,0,0", "0,1,.5,0,3,1,0,1,1,0,0", "1,1,0,0,0,1,0,1,1,0,1"]
    folder = dataset(attributes, rows, ["y1", "y0"], name="scene")  # known: its last six
    data = Mulan("scene", folder, as_published=True)
    assert data.label_space.names == ("x3", "x4", "x5", "x6", "x7", "x8")
    corpus = data.corpus("all")
    assert corpus.labels.tolist() == [[0, 1, 0, 1, 0, 0], [1, 0, 1, 1, 0, 0], [1, 0, 1, 1, 0, 1]]
    assert corpus.features.tolist() == [[1, 0, 0.5, 0, 2], [0, 1, 0.5, 0, 3], [1, 1, 0, 0, 0]]
    expected = (
        "as published: the last 6 columns are taken for labels, 0 of them are labels; 2 of the 2 labels are inputs"
    )
    assert expected in Mulan("scene", folder, as_published=True, folds=3, min_positives=1)._table.notes
    assert Mulan("scene", folder).label_space.names == ("y1", "y0")
    with raises("data.as_published: 'bibtex' has 11 attributes, expected more than 159"):
        shutil.copytree(folder / "scene", folder / "bibtex")
        _ = Mulan("bibtex", folder, as_published=True).label_space


# repair ---------------------------------------------------------------------------------------------------------

INPUTS, LABELS, SHIFT = 30, 15, 12  # of rcv1subset2 the shift, and its 6,000 rows


@pytest.fixture
def shifted(dataset):
    """6,000 rows of norm 1 with labels, those of the second half written 12 columns too early."""

    def build(change=None):
        draw = np.random.default_rng(0)
        inputs = np.zeros((6000, INPUTS))
        for row, line in enumerate(inputs):  # the last inputs are empty in the second half, as in the known files
            columns = draw.choice(INPUTS - SHIFT if row >= 3000 else INPUTS, 3, replace=False)
            line[columns] = draw.random(3)
        inputs = (inputs / np.linalg.norm(inputs, axis=1, keepdims=True)).round(6)
        labels = (draw.random((6000, LABELS)) < 0.2).astype(float)
        wide = np.concatenate([inputs, labels], 1)
        wide[3000:, INPUTS - SHIFT :] = np.concatenate([labels[3000:], np.zeros((3000, SHIFT))], 1)
        if change is not None:
            change(wide)
        attributes = {f"x{number}": "numeric" for number in range(INPUTS)}
        attributes |= {f"y{number}": "{0,1}" for number in range(LABELS)}
        rows = ["{" + ",".join(f"{c} {line[c]:g}" for c in np.flatnonzero(line)) + "}" for line in wide]
        return dataset(attributes, rows, [f"y{number}" for number in range(LABELS)], "rcv1subset2"), inputs, labels

    return build


def test_repair_moves_the_labels_back_and_restores_unit_norms(shifted):
    folder, inputs, labels = shifted()
    broken, right = (Mulan("rcv1subset2", folder, repair=repair).corpus("all") for repair in (False, True))
    torch.testing.assert_close(right.features, torch.tensor(inputs, dtype=torch.float32))
    assert right.labels.tolist() == labels.tolist()
    assert broken.labels[:3000].tolist() == labels[:3000].tolist()
    assert broken.labels[3000:].sum() < labels[3000:].sum() / 2
    assert (broken.features.norm(dim=1) > 1.01).any()
    assert (right.features.norm(dim=1) - 1).abs().max() < 1e-4
    assert "labels of rows 3001-6000 are known to be misplaced" in Mulan("rcv1subset2", folder).report()
    report = Mulan("rcv1subset2", folder, repair=True).report()
    assert "known to be misplaced" not in report
    assert re.search(r"repaired: labels of rows 3001-6000 moved by 12 columns; row norms up to \d\.\d+ before", report)


def set_cells(rows, columns, value):
    def change(wide):
        wide[rows, columns] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_cells(10, 3, 0.9), "rows 1 to 3000 do not have norm 1"),
        (set_cells(4000, INPUTS - 1, 0.5), "the last 12 inputs of rows 3001 to 6000 are not 0 or 1"),
        (set_cells(4000, INPUTS + LABELS - 1, 1), "the last 12 labels occur in rows 3001 to 6000"),
        (set_cells(4000, 3, 0.9), "moving the labels by 12 columns leaves row norms from 0.99999"),
        (set_cells(slice(3000, None), slice(INPUTS - SHIFT, INPUTS), 0), "rows 3001 to 6000 have norm 1 already"),
    ],
)
def test_nothing_is_repaired_without_the_evidence(shifted, change, message):
    folder, *_ = shifted(change)
    with raises("data.repair: ") as caught:
        Mulan("rcv1subset2", folder, repair=True).corpus("all")
    assert message in str(caught.value)
    assert "this is not the file with the known fault" in str(caught.value)


def test_repair_of_other_files(dataset, tmp_path):
    folder = dataset({"x": "numeric", "y": "{0,1}"}, ["1,0"], ["y"], "rcv1subset1")
    with raises("found 1 rows, expected 6000"):
        Mulan("rcv1subset1", folder, repair=True).corpus("all")
    savemat(tmp_path / "rcv1subset1" / "m.mat", {"data": np.ones((4, 3)), "target": np.ones((2, 4))})
    with raises("data.repair needs the ARFF file: a MATLAB file does not say which columns it kept"):
        Mulan("rcv1subset1", folder, file="m.mat", repair=True).corpus("all")
    with raises("data.as_published: ") as caught:
        Mulan("rcv1subset1", folder, file="m.mat", as_published=True).corpus("all")
    assert "has 2 labels, expected 101" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 5}, "data.fold is 5 of 5, expected 0 to data.folds - 1"),
        ({"fold": -1}, "data.fold is -1 of 5"),
        ({"folds": 1}, "data.fold is 0 of 1, expected 0 to data.folds - 1, and at least 2 folds"),
        ({"min_positives": -1}, "data.min_positives must be at least 0, found -1"),
        ({"feature_fraction": 0.0}, "data.feature_fraction must be above 0 and at most 1, found 0.0"),
        ({"feature_fraction": 1.5}, "data.feature_fraction must be above 0 and at most 1, found 1.5"),
        ({"scaling": "minmax"}, "data.scaling must be none, train or all, found 'minmax'"),
        ({"name": "emotions", "as_published": True}, "data.as_published: nothing was published on 'emotions', only on"),
        ({"repair": True}, "data.repair: no repair is known for 'scene', only for ['rcv1subset1', 'rcv1subset2'"),
        ({"name": "rcv1subset3", "repair": True, "as_published": True}, "exclude each other"),
    ],
)
def test_faults_of_settings(settings, message):
    with raises(message):
        Mulan(**{"name": "scene", "data_dir": FIXTURES} | settings)


# report and statistics ------------------------------------------------------------------------------------------


def test_the_report_says_what_was_done():
    plain = Mulan("scene", FIXTURES).report()
    assert plain.startswith(
        "Mulan scene (scene-train.arff + scene-test.arff): 7 inputs, 6 labels; fold 0 of 5 (seed 42), stratified\n"
        "  scaling: none\n  text attributes left out: ['note']\n"
    )
    settings = {"scaling": "all", "min_positives": 19, "feature_fraction": 0.5, "fold": 3, "seed": 7}
    lines = Mulan("parcels", FIXTURES, **settings).report().splitlines()
    assert lines[:4] == [
        "Mulan parcels (parcels.arff.gz): 4 inputs, 4 labels; fold 3 of 5 (seed 7), stratified",
        "  scaling: all rows (test rows included, as published)",
        "  labels with fewer than 19 positives left out: 1 of 5",
        "  inputs with the largest sum kept: 4 of 9",
    ]


def test_statistics_against_loops():
    for name in ("scene", "parcels"):
        corpus = Mulan(name, FIXTURES).corpus("all")
        labels = corpus.labels.tolist()
        n, q = len(labels), len(labels[0])
        counts = [sum(row[label] for row in labels) for label in range(q)]
        found = statistics(corpus)
        assert (found.n, found.d, found.q) == (n, corpus.features.shape[1], q)
        assert found.card == pytest.approx(sum(sum(row) for row in labels) / n)
        assert found.dens == pytest.approx(sum(sum(row) for row in labels) / n / q)
        assert found.mean_ir == pytest.approx(sum(max(counts) / count for count in counts) / q)


def test_statistics_need_inputs_and_pass_over_labels_that_never_occur():
    space = LabelSpace(("a", "b", "c"))
    labels = torch.tensor([[1.0, 0, 0], [1, 1, 0]])
    assert statistics(Corpus(space, labels, ["0", "1"], features=torch.zeros(2, 4))).mean_ir == 1.5
    with raises("statistics of a text corpus: it has no inputs to count"):
        statistics(Corpus(space, labels, ["0", "1"], texts=["a", "b"]))


def test_the_faults_of_the_published_data_are_the_known_ones() -> None:
    assert SHIFTS == {"rcv1subset1": 1, "rcv1subset2": 12, "rcv1subset3": 14}
    assert (LABELS_AT_END["yahoo-Arts"], LABELS_AT_END["yahoo-Business"], LABELS_AT_END["llog"]) == (25, 28, 75)
