"""Explanations of predictions, and correct and wrong decisions of a run, as a folder of pages."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from mlemo.callbacks.label_figures import which_labels
from mlemo.data import Corpus, Split
from mlemo.inference import Classifier, EnsembleClassifier, load
from mlemo.models import GTHLEmo
from mlemo.reporting.explanations.attention import attention
from mlemo.reporting.explanations.confusion import confusion
from mlemo.reporting.explanations.corpora import corpus_of
from mlemo.reporting.explanations.correlation import MOST_PAIRED, correlation_agreement
from mlemo.reporting.explanations.decisions import thresholds_of
from mlemo.reporting.explanations.errors import confident_mistakes, error_examples
from mlemo.reporting.explanations.label_errors import cross_fitted_probabilities, label_errors
from mlemo.reporting.explanations.loss_weight_figure import read_loss_weights
from mlemo.reporting.explanations.neighbors import nearest_training_texts, training_memory
from mlemo.reporting.explanations.occlusion import occlusion
from mlemo.reporting.explanations.report import Report
from mlemo.reporting.explanations.words import word_spans
from mlemo.runs.ensemble import member_files, read_ensemble
from mlemo.runs.files import ENSEMBLE
from mlemo.runs.loading import find_checkpoint, read_checkpoint
from mlemo.runs.manifest import is_tested
from mlemo.runs.predictions import Predictions, read_predictions
from mlemo.text.readable import readable
from mlemo.thresholds import ThresholdRule
from mlemo.utils.messages import enumerated

__all__ = ["explain"]

#: Loader of a split of the corpus that the checkpoint was trained on.
CorpusOf = Callable[[Split], Corpus]

#: Largest number of explained words per text, each with a forward pass and a place in a picture.
MOST_WORDS = 1000


def explain(options: argparse.Namespace, texts: Sequence[str]) -> Report:
    """Explain texts, a run, or both.

    Args:
        options: Options of ``mlemo explain``.
        texts: The texts.

    Returns:
        The report, which is not written yet.

    Raises:
        OSError: A file cannot be read.
        ValueError: There is nothing to explain, or checkpoint and run are not of one training.
    """
    file = find_checkpoint(options.ckpt)
    run = _run_of(file) if options.run is None else options.run
    predictions = None if run is None else read_predictions(run / "predictions_test.csv")
    if not texts and predictions is None:
        raise ValueError("nothing to explain: give sentences, --file, or --run with the folder of a tested run")
    if options.output.exists() and (not options.output.is_dir() or any(options.output.iterdir())):
        raise ValueError(f"--output {options.output} exists and is not an empty folder")
    classifier = load(file, options.device, options.trust)
    several = isinstance(classifier, EnsembleClassifier)
    first = member_files(file, read_ensemble(file))[0] if several else file
    corpus = partial(corpus_of, read_checkpoint(first), trust=options.trust)
    facts = {
        "checkpoint": str(file),
        "model": type(classifier if several else classifier.model).__name__,
        "decided by": classifier.rule.describe(),
    }
    report = Report(facts if run is None else facts | {"run": str(run)})
    if several and texts:
        report.notes.append(f"Nearest texts and attention are those of the first member of the ensemble, {first}.")
    if texts:
        texts = _beginnings(texts, report.notes)
        _explain_texts(report, classifier, corpus, texts, options.neighbors)
    if run is not None and not is_tested(run):
        report.notes.append(f"{run} was trained further since its test: its predictions are those of that test.")
    if predictions is not None:
        _explain_run(report, predictions, classifier, corpus, options)
    return report


def _beginnings(texts: Sequence[str], notes: list[str]) -> list[str]:
    """Truncate texts of too many words after the last explained one, with a note."""
    shown = []
    for number, whole in enumerate(texts, start=1):
        text = readable(whole)
        spans = word_spans(text)[:MOST_WORDS]
        text = text[: spans[-1][1]] if len(spans) == MOST_WORDS else text
        if len(text.rstrip()) < len(whole.rstrip()):
            notes.append(
                f"Text {number}: its first {len(spans):,} words are explained ({len(text):,} of {len(whole):,} "
                "characters), as if it ended there."
            )
        shown.append(text)
    return shown


def _run_of(checkpoint: Path) -> Path | None:
    """Return the folder of a checkpoint's run, if it has been tested."""
    checkpoint = checkpoint.resolve()
    folder = checkpoint.parent if checkpoint.name == ENSEMBLE.name else checkpoint.parent.parent
    return folder if (folder / "predictions_test.csv").is_file() else None


def _explain_texts(report: Report, classifier: Classifier, corpus: CorpusOf, texts: list[str], neighbors: int) -> None:
    """Add heat maps and nearest training texts."""
    model, results = classifier.model, classifier(texts)
    tables = [[table] for table in occlusion(classifier, results)]
    if isinstance(model, GTHLEmo):
        for own, table in zip(tables, attention(model, results, classifier.batch_size)):
            own.append(table)
    report.add_texts(results, tables, thresholds_of(classifier.rule, len(classifier.labels)))
    if not neighbors:
        return
    try:
        train = corpus("train")
        memory = training_memory(model, train)
        found = nearest_training_texts(model, memory, train, texts, neighbors)
    except (OSError, ValueError) as error:
        report.notes.append(f"Nearest training texts: {error}")
        return
    how = f"Cosine of embeddings, among {len(memory):,} of {len(train):,} training texts."
    report.add_neighbors(results, found, how)


def _explain_run(
    report: Report,
    predictions: Predictions,
    classifier: Classifier,
    corpus: CorpusOf,
    options: argparse.Namespace,
) -> None:
    """Add errors, confusion and correlation of labels, suspected label errors, and weights of the loss."""
    names = predictions.label_space.names
    if names != classifier.labels:
        raise ValueError(
            f"{predictions.path} has the labels {enumerated(names)}, the checkpoint "
            f"{enumerated(classifier.labels)}: they are not of the same run"
        )
    texts = None
    if options.examples or options.suspects:
        try:
            texts = _texts_of(predictions, corpus("test"))
        except (OSError, ValueError) as error:
            report.notes.append(f"Texts of the examples: {error}")
    if options.examples:
        if which := which_labels(min(len(names), MOST_PAIRED), len(names)):
            report.notes.append(f"Examples are of {which}.")
        thresholds = _thresholds_of_run(predictions, classifier.rule)
        report.add_errors(
            error_examples(predictions, texts, options.examples, options.seed, thresholds),
            confident_mistakes(predictions, texts, options.examples, thresholds),
        )
    if options.suspects:
        _add_label_errors(report, predictions, texts, corpus, options)
    report.add_confusion(confusion(predictions))
    report.add_correlation(correlation_agreement(predictions))
    weights = predictions.path.with_name("loss_weights.csv")
    if weights.is_file():
        report.add_loss_weights(read_loss_weights(weights))
    else:
        report.notes.append(f"Weights of the loss: {weights} does not exist (losses of a single part do not write it)")


def _thresholds_of_run(predictions: Predictions, rule: ThresholdRule) -> Tensor | None:
    """Return the thresholds of the checkpoint's rule if the decisions of the run are its decisions."""
    decided = rule.predict(predictions.probabilities)
    same = torch.equal(decided, predictions.decided)
    return thresholds_of(rule, len(predictions.label_space)) if same else None


def _add_label_errors(
    report: Report,
    test: Predictions,
    texts: Sequence[str] | None,
    corpus: CorpusOf,
    options: argparse.Namespace,
) -> None:
    """Add suspected label errors of the test, the validation and, cross-fitted, the training split."""
    tables = [label_errors("test", test, texts)]
    how = "Probabilities of test and validation texts are those of the run, which was not fitted to them."
    path = test.path.with_name("predictions_val.csv")
    if path.is_file():
        val, own = read_predictions(path), None
        try:
            own = _texts_of(val, corpus("val"))
        except (OSError, ValueError) as error:
            report.notes.append(f"Texts of suspected validation labels: {error}")
        tables.append(label_errors("val", val, own))
    if options.folds:
        try:
            train = corpus("train")
            probabilities = cross_fitted_probabilities(train, options.folds, options.seed)
        except (OSError, ValueError) as error:
            report.notes.append(f"Suspected training labels: {error}")
        else:
            decided = probabilities > 0.5
            fitted = Predictions(
                test.path, train.label_space, list(train.ids), train.labels > 0.5, train.mask, decided, probabilities
            )
            tables.append(label_errors("train", fitted, train.texts))
            how += (
                " Those of training texts are cross-fitted: each text by logistic regressions over TF-IDF weights "
                f"that were fitted to the other {options.folds - 1} of {options.folds} folds."
            )
    found = pd.concat(tables).sort_values("agreement", kind="stable", ignore_index=True)
    report.add_label_errors(found, how, options.suspects)


def _texts_of(predictions: Predictions, corpus: Corpus) -> list[str]:
    """Return the texts of the predictions by row."""
    if corpus.ids != predictions.ids or corpus.texts is None:
        raise ValueError(
            f"the ids of the split that the checkpoint's config names ({len(corpus):,} rows) are not those of "
            f"{predictions.path} ({len(predictions.ids):,} rows)"
        )
    return list(corpus.texts)
