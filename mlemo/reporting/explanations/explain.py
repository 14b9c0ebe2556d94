"""Explanations of predictions, and correct and wrong decisions of a run, as a folder of pages."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mlemo.callbacks.label_figures import which_labels
from mlemo.data import Corpus, Split
from mlemo.inference import Classifier, EnsembleClassifier, load
from mlemo.models import GTHLEmo
from mlemo.reporting.explanations.attention import attention
from mlemo.reporting.explanations.corpora import corpus_of
from mlemo.reporting.explanations.correlation import MOST_PAIRED, correlation_agreement
from mlemo.reporting.explanations.errors import error_examples
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
        _explain_run(report, predictions, classifier.labels, corpus, options)
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
    report.add_texts(results, tables)
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
    labels: tuple[str, ...],
    corpus: CorpusOf,
    options: argparse.Namespace,
) -> None:
    """Add errors, correlation of labels, and weights of the loss."""
    names = predictions.label_space.names
    if names != labels:
        raise ValueError(
            f"{predictions.path} has the labels {enumerated(names)}, the checkpoint "
            f"{enumerated(labels)}: they are not of the same run"
        )
    if options.examples:
        texts = None
        try:
            texts = _texts_of(predictions, corpus)
        except (OSError, ValueError) as error:
            report.notes.append(f"Texts of the examples: {error}")
        if which := which_labels(min(len(names), MOST_PAIRED), len(names)):
            report.notes.append(f"Examples are of {which}.")
        report.add_errors(error_examples(predictions, texts, options.examples, options.seed))
    report.add_correlation(correlation_agreement(predictions))
    weights = predictions.path.with_name("loss_weights.csv")
    if weights.is_file():
        report.add_loss_weights(read_loss_weights(weights))
    else:
        report.notes.append(f"Weights of the loss: {weights} does not exist (losses of a single part do not write it)")


def _texts_of(predictions: Predictions, corpus: CorpusOf) -> list[str]:
    """Return the texts of the predictions by row."""
    test = corpus("test")
    if test.ids != predictions.ids or test.texts is None:
        raise ValueError(
            f"the ids of the test split that the checkpoint's config names ({len(test):,} rows) are not those of "
            f"{predictions.path} ({len(predictions.ids):,} rows)"
        )
    return list(test.texts)
