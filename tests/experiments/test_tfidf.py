import json
import math
import re

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from mlemo.data import Corpus, EmotionDataModule, SyntheticEmotions
from mlemo.experiments.tfidf import features, main, probabilities, tfidf
from mlemo.labels import LabelSpace

RULES = [
    "fixed threshold 0.5",
    "one threshold for jaccard",
    "one threshold for micro_f1",
    "one threshold for macro_f1",
    "a threshold per class for f1 (exact)",
]
SMALL = ["--data=SyntheticEmotions", "--data.size=300", "--data.val_size=120", "--data.test_size=200"]


class Words(EmotionDataModule):
    """Two labels, each told by a word of its own; ``mask`` and ``labels`` change those of the training split."""

    def __init__(self, mask=None, labels=None, has_texts=True):
        super().__init__()
        self.mask, self.labels, self.has_texts = mask, labels, has_texts

    @property
    def label_space(self):
        return LabelSpace(("joy", "fear"))

    def read(self, split):
        rng = np.random.default_rng({"train": 0, "val": 1, "test": 2}[split])
        present = rng.random((60, 2)) < 0.4
        texts = [" ".join(["day", *np.array(["happy", "scared"])[row]]) for row in present]
        labels = torch.tensor(present).float()
        mask = None
        if split == "train":
            labels = labels if self.labels is None else self.labels(labels)
            mask = None if self.mask is None else self.mask(labels)
        ids = [str(row) for row in range(60)]
        if not self.has_texts:
            return Corpus(self.label_space, labels, ids, features=torch.zeros(60, 3))
        return Corpus(self.label_space, labels, ids, texts, mask=mask)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    output = tmp_path_factory.mktemp("tfidf") / "new" / "scores.json"
    return main([*SMALL, "--regularization", "2", "8", "--output", str(output)]), output


def test_reaches_its_floor(small):
    scores = small[0]["scores"]
    assert list(scores) == RULES
    # 300 rows of eight emotions; a classifier that says yes everywhere has a macro-F1 below 0.3
    assert scores["a threshold per class for f1 (exact)"]["test"]["macro_f1"] > 0.5
    assert scores["one threshold for jaccard"]["test"]["jaccard"] > 0.5
    assert small[0]["rows"] == {"train": 300, "val": 120, "test": 200}


def test_every_rule_is_best_on_validation_at_what_it_is_fitted_for(small):
    scores = {rule: splits["val"] for rule, splits in small[0]["scores"].items()}
    for metric in ("jaccard", "micro_f1", "macro_f1"):
        single = [scores[f"one threshold for {other}"][metric] for other in ("jaccard", "micro_f1", "macro_f1")]
        assert scores[f"one threshold for {metric}"][metric] == max(single)
    assert scores[RULES[-1]]["macro_f1"] == max(values["macro_f1"] for values in scores.values())


def test_takes_the_regularization_that_is_best_on_validation(small):
    precision = small[0]["validation_macro_ap"]
    assert set(precision) == {2.0, 8.0}
    assert small[0]["regularization"] == max(precision, key=precision.get)
    chosen = tfidf(SyntheticEmotions(size=300, val_size=120, test_size=200), [small[0]["regularization"]])
    assert chosen["scores"] == small[0]["scores"]


def test_output_file_holds_settings_and_all_scores(small):
    result, output = small
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["config"]["data"]["init_args"]["size"] == 300
    assert content["scores"] == result["scores"]
    assert {"jaccard", "samples_f1", "macro_ap", "hamming_loss"} <= content["scores"][RULES[0]]["test"].keys()


def test_prints_every_rule_on_both_splits(capsys):
    result = main([*SMALL, "--regularization", "2"])
    printed = capsys.readouterr().out
    for rule in RULES:
        line = next(line for line in printed.splitlines() if rule in line)
        values = [f"{result['scores'][rule]['val'][name]:.4f}" for name in ("jaccard", "micro_f1", "macro_f1")]
        assert re.findall(r"\d\.\d{4}", line) == values
    assert f"{result['scores'][RULES[-1]]['test']['macro_f1']:.4f}" in printed


def test_scores_are_those_of_scikit_learn():
    data = SyntheticEmotions(size=300, val_size=120, test_size=200)
    result = tfidf(data, [2.0])
    train, test = data.corpus("train"), data.corpus("test")
    blocks = {"word": {"token_pattern": r"\w+|[^\w\s]", "ngram_range": (1, 2)}, "char_wb": {"ngram_range": (1, 5)}}
    parts = []
    for analyzer, settings in blocks.items():
        vectoriser = TfidfVectorizer(
            analyzer=analyzer, sublinear_tf=True, min_df=2, strip_accents="unicode", dtype=np.float32, **settings
        )
        parts.append((vectoriser.fit_transform(train.texts).toarray(), vectoriser.transform(test.texts).toarray()))
    x, x_test = (np.concatenate(part, 1) for part in zip(*parts))
    assert result["features"] == x.shape[1]
    decisions = [
        LogisticRegression(C=2.0, solver="liblinear").fit(x, y).predict_proba(x_test)[:, 1] >= 0.5
        for y in train.labels.T.numpy()
    ]
    gold = test.labels.numpy()
    values = result["scores"]["fixed threshold 0.5"]["test"]
    for average in ("micro", "macro"):
        expected = f1_score(gold, np.stack(decisions, 1), average=average, zero_division=0)
        assert values[f"{average}_f1"] == pytest.approx(expected, abs=2e-3)  # dense features round otherwise


def test_features_keep_emoji_and_fold_case_and_diacritics():
    vectoriser = features().fit(["Été 😀", "ete 😀 فَرَح", "فرح !"])
    words = set(vectoriser.transformer_list[0][1].vocabulary_)
    assert words == {"ete", "😀", "ete 😀", "فرح"}
    characters = set(vectoriser.transformer_list[1][1].vocabulary_)
    assert {"e", " ete ", "😀", "فرح "} <= characters
    rows = vectoriser.transform(["ete 😀", "nothing known: zzz"]).toarray()
    assert np.linalg.norm(rows[0]) == pytest.approx(math.sqrt(2), abs=1e-6)  # two blocks of length 1


def test_rows_that_are_not_annotated_are_left_out_of_their_label_alone():
    def every_other(labels):
        mask = torch.ones(labels.shape, dtype=torch.bool)
        mask[::2, 1] = False
        return mask

    data = Words(mask=every_other)
    train, test = data.corpus("train"), data.corpus("test")
    vectoriser = features()
    inputs = [vectoriser.fit_transform(train.texts).tocsr(), vectoriser.transform(test.texts).tocsr()]
    found = probabilities(inputs, train, 1.0)[0]
    for label, rows in ((0, slice(None)), (1, slice(1, None, 2))):
        model = LogisticRegression(C=1.0, solver="liblinear").fit(inputs[0][rows], train.labels[rows, label].numpy())
        expected = torch.from_numpy(model.predict_proba(inputs[1])[:, 1]).float()
        torch.testing.assert_close(found[:, label], expected)
    # what stands in a masked row is without effect
    train.labels[::2, 1] = 1 - train.labels[::2, 1]
    assert torch.equal(probabilities(inputs, train, 1.0)[0], found)


@pytest.mark.parametrize(
    ("labels", "mask", "expected"),
    [
        (lambda y: y * torch.tensor([1.0, 0.0]), None, 0.0),
        (lambda y: torch.maximum(y, torch.tensor([0.0, 1.0])), None, 1.0),
        (None, lambda y: torch.tensor([True, False]).expand(y.shape).clone(), 0.0),
    ],
    ids=["never", "always", "not annotated"],
)
def test_a_label_without_two_values_gets_the_one_it_has(labels, mask, expected):
    data = Words(mask=mask, labels=labels)
    train = data.corpus("train")
    inputs = features().fit_transform(train.texts).tocsr()
    found = probabilities([inputs, inputs[:5]], train, 1.0)[0]
    assert found[:, 1].tolist() == [expected] * 5
    assert found[:, 0].unique().numel() > 1
    assert tfidf(data, [1.0])["scores"][RULES[1]]["test"]["jaccard"] > 0.3


def test_a_corpus_without_texts_is_refused():
    with pytest.raises(ValueError, match="TF-IDF needs texts, and Words has features only"):
        tfidf(Words(has_texts=False))
    with pytest.raises(ValueError, match="no value of regularization"):
        tfidf(Words(), [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: data"),
        (["--data=SemEval2018"], "no data_dir is given"),
        (["--data=SemEval2018", "--data.data_dir=/nowhere/at/all"], "/nowhere/at/all is no folder"),
        (["--data=SyntheticEmotions", "--data.size=0"], "data.size must be at least 1, found 0"),
        ([*SMALL, "--regularization", "0"], "PositiveFloat"),
        (["--data=NoSuchCorpus"], "NoSuchCorpus"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
