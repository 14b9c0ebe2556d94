"""Classification of rows as they come, for the standard output."""

from __future__ import annotations

from collections.abc import Iterator

from mlemo.classification.formats import JsonLines
from mlemo.classification.results import Probabilities, results_of
from mlemo.classification.source import Source, chunks
from mlemo.classification.summary import Summary
from mlemo.inference import Classifier

__all__ = ["stream"]

WINDOW = 256  #: rows that are classified together


def stream(
    classifier: Classifier, source: Source, output: JsonLines, probabilities: Probabilities, summary: Summary
) -> Iterator[bytes]:
    """Classify rows, some hundreds at a time.

    Args:
        classifier: The classifier.
        source: The rows.
        output: What is made of them.
        probabilities: Of which labels probabilities are kept.
        summary: Counts the rows.

    Yields:
        Bytes of the output.
    """
    for chunk in chunks(source, WINDOW):
        texts = [source.text_of(row) for row in chunk]
        results = results_of(classifier, texts, probabilities)
        summary.add((problem for _, problem in texts), summary.rows + 1)
        yield output.encode(chunk, results)
