"""The floor of every table: TF-IDF features and one logistic regression a label, no network.

``python -m mlemo.experiments.tfidf --data SemEval2018 --data.data_dir DIR``
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveFloat
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from torch import Tensor

from mlemo.data import Corpus, EmotionDataModule
from mlemo.metrics import MultiLabelMetrics
from mlemo.nn.tfidf import KINDS
from mlemo.runs.atomic import write_atomically
from mlemo.thresholds import FixedThreshold, GlobalThreshold, PerClassThreshold, ThresholdRule

__all__ = ["features", "main", "probabilities", "tfidf"]

REGULARIZATION = (0.5, 1.0, 2.0, 4.0)
SHOWN = ("jaccard", "micro_f1", "macro_f1")


def rules() -> Iterator[ThresholdRule]:
    """The decision rules of the table, not fitted."""
    yield FixedThreshold(0.5)
    yield GlobalThreshold("jaccard")
    yield GlobalThreshold("micro_f1")
    yield GlobalThreshold("macro_f1")
    yield PerClassThreshold("f1")


def features() -> FeatureUnion:
    """Vectoriser of words (1 and 2) and of characters inside words (1 to 5), both as TF-IDF.

    A term of a text has the weight ``(1 + ln tf) · (1 + ln((1 + N) / (1 + df)))``; each of the two blocks has length 1
    in every text. Case and diacritics are dropped, the Arabic ones included, and so are terms that stand in one
    training text only. Texts without blanks between words (Chinese) are described by their characters alone.
    """
    common = {"sublinear_tf": True, "min_df": 2, "strip_accents": "unicode", "dtype": np.float32}
    return FeatureUnion([(kind, TfidfVectorizer(**settings, **common)) for kind, settings in KINDS.items()])


def probabilities(inputs: Sequence[Any], train: Corpus, regularization: float) -> list[Tensor]:
    """Probabilities of all labels, from one logistic regression a label.

    A regression sees the training rows that are annotated for its label. A label that has one value in all of them is
    given that value everywhere, and 0 where no row is annotated.

    Args:
        inputs: Feature matrices: that of the training split, then those to be scored, each ``(n, F)``.
        train: The training split.
        regularization: C, the inverse strength of the L2 penalty.

    Returns:
        ``(n, C)`` float32 for each matrix but the first.
    """
    first, *scored = inputs
    results = [torch.zeros(matrix.shape[0], len(train.label_space)) for matrix in scored]
    for label in range(len(train.label_space)):
        rows = train.mask[:, label].numpy()
        targets = train.labels[:, label].numpy()[rows]
        if len(np.unique(targets)) < 2:
            for result in results:
                result[:, label] = float(targets.any())
            continue
        # liblinear: several times faster than lbfgs on sparse features
        model = LogisticRegression(C=regularization, solver="liblinear").fit(first[rows], targets)
        for result, matrix in zip(results, scored):
            result[:, label] = torch.from_numpy(model.predict_proba(matrix)[:, 1])
    return results


def tfidf(data: EmotionDataModule, regularization: Sequence[float] = REGULARIZATION) -> dict[str, Any]:
    """Fit on train, choose C and fit the decision rules on validation, score validation and test.

    Args:
        data: A corpus of texts.
        regularization: Values of C to choose from, by the macro average precision on validation, which no rule changes.

    Returns:
        ``corpus``, ``rows``, ``features``; ``regularization``: the chosen C; ``validation_macro_ap`` by C; ``scores``:
        all metrics of `MultiLabelMetrics` by rule, split (``val``, ``test``) and name.

    Raises:
        ValueError: The corpus has no texts, or no values of C are given.

    Example:
        >>> from mlemo.data import SyntheticEmotions
        >>> result = tfidf(SyntheticEmotions(size=200, val_size=100, test_size=100), [4.0])
        >>> list(result["scores"])[:2]
        ['fixed threshold 0.5', 'one threshold for jaccard']
        >>> result["scores"]["one threshold for jaccard"]["test"]["jaccard"] > 0.4
        True
    """
    if not regularization:
        raise ValueError("no value of regularization to choose from, expected at least one")
    train, val, test = (data.corpus(split) for split in ("train", "val", "test"))
    vectoriser = features()
    inputs = [vectoriser.fit_transform(_texts(data, train)).tocsr()]
    inputs += [vectoriser.transform(_texts(data, corpus)).tocsr() for corpus in (val, test)]

    candidates = {c: probabilities(inputs, train, c) for c in regularization}
    precision = {c: _score(val, scores[0], None)["macro_ap"] for c, scores in candidates.items()}
    best = max(precision, key=lambda c: precision[c])
    scores = {}
    for rule in rules():
        rule.fit(candidates[best][0], val.labels, val.mask)
        scores[rule.describe()] = {
            split: _score(corpus, predicted, rule)
            for split, corpus, predicted in zip(("val", "test"), (val, test), candidates[best])
        }
    return {
        "corpus": type(data).__name__,
        "rows": {"train": len(train), "val": len(val), "test": len(test)},
        "features": inputs[0].shape[1],
        "regularization": best,
        "validation_macro_ap": precision,
        "scores": scores,
    }


def _texts(data: EmotionDataModule, corpus: Corpus) -> Sequence[str]:
    if corpus.texts is None:
        raise ValueError(f"TF-IDF needs texts, and {type(data).__name__} has features only")
    return corpus.texts


def _score(corpus: Corpus, predicted: Tensor, rule: ThresholdRule | None) -> dict[str, float]:
    metrics = MultiLabelMetrics(corpus.label_space)
    metrics.update(predicted, corpus.labels, None if rule is None else rule.predict(predicted), corpus.mask)
    return {name: float(value) for name, value in metrics.compute().items()}


def main(args: Sequence[str] | None = None) -> dict[str, Any]:
    """The command: print the table, and write all scores where ``--output`` asks for it.

    Args:
        args: Words of the command line; ``None`` takes those of this process.

    Returns:
        What `tfidf` returns.

    Raises:
        SystemExit: The command line cannot be understood, or the corpus cannot be read.
    """
    parser = ArgumentParser(
        prog="python -m mlemo.experiments.tfidf",
        description="TF-IDF and logistic regression: the floor of every table.",
    )
    parser.add_subclass_arguments(EmotionDataModule, "data", required=True)
    parser.add_argument(
        "--regularization", type=PositiveFloat, nargs="+", default=list(REGULARIZATION), metavar="C",
        help="inverse strengths of the penalty; the best one on validation is taken",
    )  # fmt: skip
    parser.add_argument("--output", type=Path | None, metavar="FILE", help="write every score to this file, as JSON")
    options = parser.parse_args(args)
    try:
        result = tfidf(parser.instantiate(options).data, options.regularization)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    _print(result)
    if options.output is not None:
        content = {"config": json.loads(parser.dump(options, format="json")), **result}
        write_atomically(options.output, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return result


def _print(result: dict[str, Any]) -> None:
    title = f"TF-IDF and logistic regression on {result['corpus']}, C = {result['regularization']:g}"
    caption = "Rules and C are chosen on val, so its figures are optimistic."
    table = Table("decision rule", "split", title=title, caption=caption, box=SIMPLE_HEAD)
    for name in SHOWN:
        table.add_column(name, justify="right")
    for rule, splits in result["scores"].items():
        for split, values in splits.items():
            table.add_row(rule if split == "val" else "", split, *(f"{values[name]:.4f}" for name in SHOWN))
    Console().print(table)


if __name__ == "__main__":
    main()
