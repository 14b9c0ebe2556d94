"""`mlemo explain`: the folder it writes, of a run and of a checkpoint alone."""

import csv
import random
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from mlemo.cli import main
from mlemo.cli.explain import main as explain
from mlemo.data import Corpus, TokenizedCorpus
from mlemo.inference import load
from mlemo.models import FrozenHead, GTHLEmo
from mlemo.nn.tfidf import Tfidf
from mlemo.reporting.explanations.neighbors import embeddings, training_memory
from mlemo.reporting.explanations.occlusion import occlusion
from mlemo.reporting.pages import SCRIPT
from mlemo.runs.manifest import read_manifest, write_manifest
from mlemo.runs.predictions import read_predictions

Maker = Callable[..., Any]
WORDS = {
    "joy": ["سعيد", "جميل", "مبروك"],
    "anger": ["غاضب", "سيء"],
    "fear": ["خائف", "قلق"],
    "sadness": ["حزين", "دموع"],
}
OTHERS = ["في", "البيت", "مع", "الناس", "اليوم", "انا", "كنت", "good", "day", "المدرسة"]
TEXTS = ["انا سعيد في البيت good day", "كنت خائف"]


class Page(HTMLParser):
    """Links and pictures of a page; whatever it would fetch from elsewhere is a fault."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.text = ""
        self.feed(content)
        content = content.replace(f"<script>{SCRIPT}</script>", "")
        assert not re.search(r"url\(|@import|<script|<link|<iframe", content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if "src" in values:
            assert (values["src"] or "").startswith("data:image/png;base64,")
            self.pictures.append(values["alt"] or "")
        if "href" in values:
            assert re.fullmatch(r"[\w.-]+", values["href"] or "")
            self.links.append(values["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of GTHL-Emo over a few invented Arabic rows."""
    folder = tmp_path_factory.mktemp("explained")
    rng = random.Random(0)
    for split, rows in {"train": 30, "val": 16, "test": 20}.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "text", *WORDS])
            for row in range(rows):
                labels = [int(rng.random() < 0.5) for _ in WORDS]
                words = [rng.choice(own) for own, on in zip(WORDS.values(), labels) if on] + rng.choices(OTHERS, k=5)
                writer.writerow([f"{split}-{row}", " ".join(rng.sample(words, len(words))), *labels])
    config = {
        "data": {
            "class_path": "TextFiles",
            "init_args": {
                "labels": list(WORDS),
                **{split: f"{split}.csv" for split in ("train", "val", "test")},
                "data_dir": str(folder),
                "id_column": "id",
                "batch_size": 10,
            },
        },
        "model": {
            "class_path": "GTHLEmo",
            "init_args": {
                "encoder": {
                    "class_path": "FromScratch",
                    "init_args": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 200, "max_positions": 64},
                },
                "top_k": None,
            },
        },
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "enable_model_summary": False,
            "logger": {"class_path": "CSVLogger", "init_args": {"save_dir": str(folder), "name": "", "version": "run"}},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    main(["fit", "--config", str(folder / "config.yaml")])
    return folder / "run"


@pytest.fixture(scope="module")
def explained(run: Path) -> Path:
    """The folder that explains the run and two texts."""
    file = run.parent / "texts.txt"
    file.write_text(TEXTS[1] + "\n\n", encoding="utf-8")
    first = main(["explain", "--ckpt", str(run), TEXTS[0], "--file", str(file), "--output", str(run.parent / "out")])
    assert first == run.parent / "out" / "index.html"
    return run.parent / "out"


def test_every_page_stands_alone_and_the_first_leads_to_all(explained: Path) -> None:
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in explained.glob("*.html")}
    assert set(pages) == {
        "index.html", "texts.html", "neighbors.html", "errors.html", "mistakes.html", "label_errors.html"
    }  # fmt: skip
    linked = {link for page in pages.values() for link in page.links}
    assert linked <= {path.name for path in explained.iterdir()}
    assert set(pages) - {"index.html"} <= set(pages["index.html"].links)
    assert [bool(alternative) for alternative in pages["index.html"].pictures] == [True, True, True]
    assert "Notes" not in pages["index.html"].text  # everything could be explained
    assert sorted(path.name for path in explained.glob("*.png")) == [
        "confusion.png", "label_correlation.png", "loss_weights.png", "text_001.png", "text_002.png"
    ]  # fmt: skip


def test_weights_on_the_page_are_those_of_the_model(explained: Path, run: Path) -> None:
    content = (explained / "texts.html").read_text(encoding="utf-8")
    tables = re.findall(r"<thead>(.*?)</tbody>", content, re.DOTALL)
    cells = [
        [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>.*?</tr>", table)]
        for table in tables
    ]
    classifier = load(run)
    assert isinstance(classifier.model, GTHLEmo)
    corpus = Corpus(classifier.model.label_space, torch.zeros(1, 4), ["0"], TEXTS[:1])
    with torch.no_grad():
        reading = classifier.model.compute(TokenizedCorpus(corpus, classifier.model.data_input)[0], "none")
    decided, added, looked = cells[:3]  # of the first text
    (occluded,) = occlusion(classifier, [classifier(TEXTS[0])])
    assert decided[0] == ["label", "decided", "probability", "threshold", "margin"]
    result, thresholds = classifier(TEXTS[0]), classifier.rule.thresholds()
    assert thresholds is not None
    for name, yes, *numbers in decided[1:]:
        probability, threshold = result.probabilities[name], float(thresholds[list(WORDS).index(name)])
        assert yes == ("yes" if name in result.labels else "no")
        assert numbers == [f"{value:.4f}" for value in (probability, threshold, probability - threshold)]
    assert [row[0] for row in decided[1:]][: len(result.labels)] == sorted(
        result.labels, key=lambda name: float(thresholds[list(WORDS).index(name)]) - result.probabilities[name]
    )
    assert len(decided) - 1 == min(len(result.labels) + 3, 4)
    assert [row[0] for row in added] == ["word", *TEXTS[0].split()]
    assert (
        torch.tensor([[float(cell) for cell in row[1:]] for row in added[1:]]).sub(occluded.weights).abs().max() < 1e-4
    )
    assert looked[0] == ["word", "whole text", *WORDS]
    values = torch.tensor([[float(cell) for cell in row[1:]] for row in looked[1:]])
    tokens = torch.cat([reading.attention[:, None], reading.label_weights], 1)[0].T  # type: ignore[list-item]
    torch.testing.assert_close(values[[0, -1]], tokens[[0, -1]], atol=6e-5, rtol=0)  # the special tokens
    torch.testing.assert_close(values.sum(0), torch.ones(5), atol=1e-3, rtol=0)
    assert len(re.findall('class="map" dir="rtl"', content)) == content.count('class="map"') > 4


def test_neighbors_are_the_nearest_training_texts_with_their_gold_labels(explained: Path, run: Path) -> None:
    found = pd.read_csv(explained / "neighbors.csv", keep_default_na=False)
    train = pd.read_csv(run.parent / "train.csv", index_col="id")
    assert len(found) == 6
    classifier = load(run)
    model: Any = classifier.model
    rows = [f"train-{row}" for row in model.memory.rows.tolist()]
    own = embeddings(model, Corpus(model.label_space, torch.zeros(2, 4), ["0", "1"], TEXTS))
    cosines = torch.cosine_similarity(own[:, None], model.memory.states[0].float()[None], dim=2)
    for text, similarity in zip(TEXTS, cosines):
        lines = found[found["text"] == text]
        order = similarity.argsort(descending=True)[:3].tolist()
        assert lines["id"].tolist() == [rows[place] for place in order]
        assert lines["cosine"].tolist() == pytest.approx(similarity[order].tolist(), abs=1e-5)
        assert lines["rank"].tolist() == [1, 2, 3]
    for line in found.to_dict("records"):
        assert line["training text"] == train.loc[line["id"], "text"]
        assert line["gold labels"] == ", ".join(name for name in WORDS if train.loc[line["id"], name])


def test_errors_have_the_texts_of_the_test_split(explained: Path, run: Path) -> None:
    test = pd.read_csv(run.parent / "test.csv", index_col="id")
    found = pd.read_csv(explained / "errors.csv", keep_default_na=False)
    assert set(found["case"]) <= {"TP", "FP", "FN"}
    assert len(found) > 4
    for line in found.to_dict("records"):
        assert line["text"] == test.loc[line["id"], "text"]
        assert line["gold"] == ", ".join(name for name in WORDS if test.loc[line["id"], name])
        assert bool(test.loc[line["id"], line["label"]]) == (line["case"] != "FP")


def test_mistakes_have_thresholds_and_the_texts_of_their_rows(explained: Path, run: Path) -> None:
    predictions = read_predictions(run / "predictions_test.csv")
    texts = pd.read_csv(run.parent / "test.csv", index_col="id")["text"]
    thresholds = load(run).rule.thresholds()
    assert thresholds is not None
    for name in ("mistakes.csv", "errors.csv"):
        found = pd.read_csv(explained / name, keep_default_na=False)
        assert list(found.columns[:5]) == ["label", "case", "of", "probability", "threshold"]
        for line in found.to_dict("records"):
            row, column = predictions.ids.index(line["id"]), list(WORDS).index(line["label"])
            assert line["threshold"] == pytest.approx(float(thresholds[column]))
            assert (line["probability"] >= line["threshold"]) == bool(predictions.decided[row, column])
            assert line["text"] == texts[line["id"]]


def test_label_errors_of_all_splits_are_ranked_together(run: Path, tmp_path: Path) -> None:
    page = explain(["--ckpt", str(run), "--neighbors=0", "--folds=3", "--output", str(tmp_path / "out")])
    content = (page.parent / "label_errors.html").read_text(encoding="utf-8")
    assert "fitted to the other 2 of 3 folds" in content
    found = pd.read_csv(page.parent / "label_errors.csv", keep_default_na=False)
    assert set(found["split"]) <= {"train", "val", "test"}
    assert "train" in set(found["split"])
    assert found["agreement"].is_monotonic_increasing
    assert (found["agreement"] < 0.5).all()
    for line in found.to_dict("records"):
        row = pd.read_csv(run.parent / f"{line['split']}.csv", index_col="id").loc[line["id"]]
        assert line["text"] == row["text"]
        assert bool(row[line["label"]]) == (line["annotated"] == "present")


def test_without_the_files_of_the_corpus_the_rest_is_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for split in ("train", "test"):
        (run.parent / f"{split}.csv").rename(run.parent / f"{split}.gone")
    try:
        explain(["--ckpt", str(run), TEXTS[0], "--output", str(tmp_path / "out")])
    finally:
        for split in ("train", "test"):
            (run.parent / f"{split}.gone").rename(run.parent / f"{split}.csv")
    said = capsys.readouterr().err
    assert "Nearest training texts: " in said
    assert "train.csv" in said
    assert "Texts of the examples: " in said
    assert not (tmp_path / "out" / "neighbors.html").exists()
    assert "text" not in pd.read_csv(tmp_path / "out" / "errors.csv")
    assert "train.csv" in Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8")).text


def test_predictions_from_before_training_went_on_are_said_to_be(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    manifest = read_manifest(run)
    write_manifest(run, replace(manifest, tested=None))
    try:
        explain(["--ckpt", str(run), "--neighbors=0", "--output", str(tmp_path / "out")])
    finally:
        write_manifest(run, manifest)
    assert "was trained further since its test: its predictions are those of that test" in capsys.readouterr().err


def test_a_training_split_that_is_too_short_is_found(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = run.parent / "train.csv"
    content = path.read_text(encoding="utf-8")
    path.write_text("".join(content.splitlines(keepends=True)[:20]), encoding="utf-8")
    try:
        explain(["--ckpt", str(run), TEXTS[0], "--output", str(tmp_path / "out")])
    finally:
        path.write_text(content, encoding="utf-8")
    assert "memory has row 29 of its training split, but the split found has 19 rows" in capsys.readouterr().err


# other models, and checkpoints alone ----------------------------------------------------------------------------


@pytest.fixture
def alone(classifier: Maker, trainer: Maker, tmp_path: Path) -> Path:
    """Folder with the checkpoint of a plain classifier that no `mlemo fit` has written."""
    run = trainer()
    run.strategy.connect(classifier())
    run.save_checkpoint(tmp_path / "plain" / "best.ckpt")
    return tmp_path / "plain"


def test_a_checkpoint_alone_has_heat_maps(alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    page = explain(["--ckpt", str(alone), "a good day", "", "--output", str(tmp_path / "out")])
    assert "only those of `mlemo fit` do" in capsys.readouterr().err
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "index.html", "text_001.png", "text_002.png", "texts.html"
    ]  # fmt: skip
    assert "attention" not in re.sub(r"Attention, where.*?decides", "", (page.parent / "texts.html").read_text("utf-8"))


def test_other_models_are_compared_by_their_own_vectors(classifier: Maker, data: Maker) -> None:
    train = data().corpus("train")
    model = classifier().eval()
    found = embeddings(model, train)
    for row in range(3):
        batch = TokenizedCorpus(train, model.data_input)[row]
        with torch.no_grad():
            torch.testing.assert_close(found[row], model.encode(batch)[0].mean(0), atol=1e-5, rtol=0)
    memory = training_memory(model, train)
    assert memory.rows.tolist() == list(range(len(train)))
    features = Tfidf(width=9)
    features.fit(train.texts)
    head = FrozenHead(train.label_space, features)
    head.build(9)
    assert torch.equal(embeddings(head, train), features(train.texts).float())
    head.features = Tfidf(width=None)
    head.features.fit(train.texts)
    with pytest.raises(ValueError, match=r"not searched among the \d+ sparse features of this model"):
        training_memory(head, train)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ckpt", "CKPT"], "nothing to explain: give sentences, --file, or --run"),
        (["--ckpt", "CKPT/nowhere", "a"], "nowhere: there is no such file or folder"),
        (["--ckpt", "CKPT", "--file", "CKPT/no.txt"], "cannot read .*no.txt"),
        (["--ckpt", "CKPT", "a", "--run", "CKPT"], "predictions_test.csv does not exist"),
        (["--ckpt", "CKPT", "a", "--output", "CKPT"], "exists and is not an empty folder"),
        (["--ckpt", "CKPT", "a", "--neighbors", "-1"], "expected 0 or more, found -1"),
        (["--ckpt", "CKPT", "a", "--folds", "1"], "expected 0, or 2 or more, found 1"),
        (
            ["--ckpt", "CKPT", "--run", "RUN", "--output", "CKPT/out"],
            "labels joy, anger, fear, sadness, the checkpoint joy, self_",
        ),
        (["a"], "the following arguments are required: --ckpt"),
    ],
)
def test_faults_end_with_a_message_and_status_2(
    words: list[str], message: str, alone: Path, run: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as error:
        explain([word.replace("CKPT", str(alone)).replace("RUN", str(run)) for word in words])
    assert error.value.code == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))
    assert sorted(path.name for path in alone.iterdir()) == ["best.ckpt"]
