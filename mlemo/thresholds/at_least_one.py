"""A decision rule that assigns every sample at least one label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mlemo.thresholds.base import ThresholdRule, check_keys
from mlemo.thresholds.search import highest

__all__ = ["AtLeastOne"]


class AtLeastOne(ThresholdRule):
    """Add the most probable label where another rule predicts none; among equal ones, the first.

    Intended for corpora in which every sample has a label. In YAML::

        thresholds:
          rule:
            class_path: AtLeastOne
            init_args: {rule: {class_path: PerClassThreshold, init_args: {metric: jaccard}}}

    Args:
        rule: The rule that decides first. It is fitted as it would be without this class.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> AtLeastOne(FixedThreshold(0.5)).predict(torch.tensor([[0.75, 0.5], [0.125, 0.25]]))
        tensor([[ True,  True],
                [False,  True]])
    """

    def __init__(self, rule: ThresholdRule) -> None:
        self.rule = rule
        self.learns = rule.learns
        self.folds = rule.folds

    def _fit(self, probabilities: Tensor, targets: Tensor, mask: Tensor) -> None:
        self.rule.fit(probabilities, targets, mask)

    def _predict(self, probabilities: Tensor) -> Tensor:
        decisions = self.rule.predict(probabilities)
        return decisions | highest(probabilities, torch.where(decisions.any(dim=1), 0, 1))

    def state_dict(self) -> dict[str, Any]:
        """``{"rule": state of the rule}``."""
        return {"rule": self.rule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`.

        Raises:
            ValueError: The state does not belong to the rule.
        """
        check_keys(self, state, "rule")
        self.rule.load_state_dict(state["rule"])

    def describe(self) -> str:
        """Describe the rule in one line, for tables of results."""
        return f"{self.rule.describe()}, at least one label"
