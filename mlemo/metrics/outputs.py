"""Probabilities and targets of a whole split, with decisions and their metrics, each computed when it is first read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from mlemo.metrics.values import decision_values, label_average_precision, label_values, probability_values
from mlemo.thresholds.base import ThresholdRule, check_probabilities, check_targets

__all__ = ["Decided", "Outputs"]


@dataclass(frozen=True)
class Decided:
    """Label sets and their metrics.

    Args:
        decisions: ``(N, C)`` bool.
        targets: ``(N, C)`` bool.
        mask: ``(N, C)`` bool, False = not annotated.
    """

    decisions: Tensor
    targets: Tensor
    mask: Tensor

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """The metrics of decisions by name, see :func:`mlemo.metrics.values.decision_values`."""
        return decision_values(self.decisions, self.targets, self.mask)

    @cached_property
    def label_values(self) -> dict[str, Tensor]:
        """``f1``, ``precision``, ``recall`` and ``support`` per label, each ``(C,)``."""
        return label_values(self.decisions, self.targets, self.mask)


@dataclass(frozen=True)
class Outputs:
    """Probabilities and targets of one evaluation epoch, ordered by ``index``.

    All callbacks of an epoch read the same object, so that each rule decides once and each metric is computed once.

    Args:
        index: ``(N,)`` row in the corpus.
        probabilities: ``(N, C)`` float32.
        targets: ``(N, C)``.
        mask: ``(N, C)`` bool, False = not annotated.
        inference: The model's inference mode of ``probabilities`` (``MultiLabelModel.inferences``).
        others: ``(N, C)`` probabilities by the name of each further inference mode.
        label_ap: ``(C,)`` average precision per label, if it is known already.
        extras: Further values per sample by name, ``(N, …)``, that the corpus has (`mlemo.data.corpus.Corpus.extras`).
    """

    index: Tensor
    probabilities: Tensor
    targets: Tensor
    mask: Tensor
    inference: str = "forward"
    others: Mapping[str, Tensor] = field(default_factory=dict)
    label_ap: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    _decided: list[tuple[ThresholdRule | None, dict[str, Any], str, Decided]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def probabilities_of(self, inference: str | None = None) -> Tensor:
        """Return the probabilities ``(N, C)`` of an inference mode, by default of the first one."""
        return self.probabilities if inference in (None, self.inference) else self.others[str(inference)]

    def decided(self, rule: ThresholdRule | None = None, inference: str | None = None) -> Decided:
        """Decide under a rule, once for each fitted state of it.

        Args:
            rule: A fitted rule; ``None`` for a threshold of 0.5.
            inference: An inference mode of the model; ``None`` for that of ``probabilities``.

        Raises:
            ValueError: The rule is not fitted, or does not match the probabilities.
        """
        name, state = inference or self.inference, {} if rule is None else rule.state_dict()
        for known, fitted, under, decided in self._decided:
            if known is rule and under == name and fitted == state:
                return decided
        probabilities = self.probabilities_of(inference)
        decisions = probabilities >= 0.5 if rule is None else rule.predict(probabilities)
        found = Decided(decisions, self._truth, self.mask)
        self._decided.append((rule, state, name, found))
        return found

    def values(self, inference: str | None = None) -> dict[str, Tensor]:
        """Compute every metric at 0.5, as scalars by name.

        Args:
            inference: An inference mode of the model; ``None`` for that of ``probabilities``.

        Raises:
            ValueError: There is no annotated entry.
        """
        label_ap = self.label_average_precision if inference in (None, self.inference) else None
        probabilities = check_probabilities(self.probabilities_of(inference))
        return self.decided(inference=inference).values | probability_values(
            probabilities, self._truth, self.mask, label_ap
        )

    @cached_property
    def label_average_precision(self) -> Tensor:
        """Average precision per label ``(C,)``, NaN for a label whose annotated targets have one value only."""
        if self.label_ap is not None:
            return self.label_ap
        return label_average_precision(check_probabilities(self.probabilities), self._truth, self.mask)

    @cached_property
    def _truth(self) -> Tensor:
        return check_targets(self.targets, self.mask, tuple(self.probabilities.shape))[0]
