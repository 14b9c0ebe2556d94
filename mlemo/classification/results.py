"""What is added to each row: the decided labels, probabilities, or why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mlemo.inference import Classified, Classifier

__all__ = ["Probabilities", "Result", "ResultColumns", "results_of"]

Probabilities = Literal["all", "decided", "none"]


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a row.

    Args:
        labels: Names of the decided labels; ``None`` for a row that was not classified.
        probabilities: Probabilities by label: of all labels, of the decided ones, or none.
        problem: Why the row was not classified.
    """

    labels: list[str] | None
    probabilities: dict[str, float]
    problem: str | None = None

    @classmethod
    def of(cls, classified: Classified, probabilities: Probabilities) -> Result:
        """Return what is written of a classified text."""
        kept = {"all": classified.probabilities, "decided": classified.labels, "none": ()}[probabilities]
        return cls(classified.labels, {name: classified.probabilities[name] for name in kept})


def results_of(
    classifier: Classifier, texts: Sequence[tuple[str, str | None]], probabilities: Probabilities
) -> list[Result]:
    """Classify texts.

    Args:
        classifier: The classifier.
        texts: Each text, and why it is not to be classified, as `Source.text_of` returns them.
        probabilities: Of which labels probabilities are kept.
    """
    classified = iter(classifier([text for text, problem in texts if problem is None]))
    return [
        Result.of(next(classified), probabilities) if problem is None else Result(None, {}, problem)
        for _, problem in texts
    ]


@dataclass(frozen=True)
class ResultColumns:
    """Names of the columns that are added to those of a file, none of which they may equal.

    Args:
        labels: Column of the decided labels.
        problem: Column of the reason why a row was not classified.
        probabilities: Columns of the probabilities, by label.
        nested: The key of all probabilities in JSON, where they are an object by label.
    """

    labels: str
    problem: str
    probabilities: dict[str, str]
    nested: str

    @classmethod
    def beside(cls, columns: Iterable[str], labels: Sequence[str]) -> ResultColumns:
        """Choose names beside the columns of a file.

        Example:
            >>> columns = ResultColumns.beside(["text", "labels"], ["joy"])
            >>> columns.labels, columns.probabilities, columns.problem
            ('predicted_labels', {'joy': 'p_joy'}, 'problem')
        """
        taken = set(columns)

        def free(name: str) -> str:
            while name in taken:
                name = f"predicted_{name}"
            taken.add(name)
            return name

        names = {label: free(f"p_{label}") for label in labels}
        return cls(free("labels"), free("problem"), names, free("probabilities"))
