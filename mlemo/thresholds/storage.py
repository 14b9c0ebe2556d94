"""How a rule is stored: as plain values that a checkpoint can hold and that are read without running code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from mlemo.paths import component_from_dict, component_to_dict, plain
from mlemo.thresholds.base import ThresholdRule

__all__ = ["rule_from_dict", "rule_of_inference", "rule_to_dict", "rules_from_checkpoint", "rules_to_checkpoint"]

KEY, BY_INFERENCE = "thresholds", "thresholds_by_inference"


def rule_to_dict(rule: ThresholdRule) -> dict[str, Any]:
    """A rule as plain values, so that a checkpoint can hold it and ``torch.load(weights_only=True)`` can read it.

    Args:
        rule: A rule of mlemo or of the user, fitted or not; its arguments may be rules in turn.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}, "state": {...}}``. The path is the one that the rule's
        package exports, where it does, so that files may move without breaking checkpoints. A rule among the
        arguments is ``{"class_path", "init_args"}``, as in YAML; its state is part of the outer rule's.

    Raises:
        ValueError: The class cannot be imported by a path (it was defined inside a function), or an ``__init__``
            argument is not kept as a plain value or a rule under its own name.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> rule_to_dict(FixedThreshold(0.3))["class_path"], rule_to_dict(FixedThreshold(0.3))["init_args"]
        ('mlemo.thresholds.FixedThreshold', {'threshold': 0.3})
    """
    definition = component_to_dict(rule, nested=ThresholdRule)
    return {**definition, "state": plain(rule.state_dict(), f"the state of {type(rule).__name__}")}


def rule_from_dict(stored: Mapping[str, Any]) -> ThresholdRule:
    """The rule that :func:`rule_to_dict` stored.

    Args:
        stored: ``{"class_path", "init_args", "state"}``.

    Returns:
        The rule, fitted if it was.

    Raises:
        ValueError: A key is missing, its class is not there or not trusted, it is not a :class:`ThresholdRule`, or the
            arguments or the state do not fit the class.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> rule_from_dict(rule_to_dict(FixedThreshold(0.3))).threshold
        0.3
    """
    missing = {"class_path", "init_args", "state"} - set(stored)
    if missing:
        raise ValueError(f"a stored rule has class_path, init_args and state; {sorted(missing)} missing")
    rule: ThresholdRule = component_from_dict(stored, ThresholdRule, "rule")  # type: ignore[type-abstract]
    rule.load_state_dict(stored["state"])
    return rule


def rules_to_checkpoint(rules: Mapping[str, ThresholdRule]) -> dict[str, Any]:
    """Entries of a checkpoint for the fitted rules of a model.

    Args:
        rules: By the inference that each was fitted under, that of validation and test first.

    Returns:
        ``thresholds``, the first rule as plain values, and ``thresholds_by_inference``, all of them by name.
    """
    stored = {inference: rule_to_dict(rule) for inference, rule in rules.items()}
    return {KEY: next(iter(stored.values())), BY_INFERENCE: stored}


def rules_from_checkpoint(checkpoint: Mapping[str, Any], inference: str) -> dict[str, ThresholdRule]:
    """Fitted rules of a checkpoint, by the inference that each was fitted under.

    Args:
        checkpoint: The checkpoint.
        inference: That of validation and test, for a checkpoint that does not name it (mlemo 0.1.0).

    Returns:
        The rules; none where the checkpoint holds none.
    """
    unnamed = {inference: checkpoint[KEY]} if KEY in checkpoint else {}
    return {name: rule_from_dict(stored) for name, stored in checkpoint.get(BY_INFERENCE, unnamed).items()}


def rule_of_inference(rules: Mapping[str, ThresholdRule], inference: str) -> ThresholdRule:
    """The rule that was fitted under an inference; where there is none the first one, with a warning if it learns."""
    first, rule = next(iter(rules.items()))
    if inference in rules:
        return rules[inference]
    if rule.learns:
        rank_zero_warn(
            f"labels are decided by thresholds that were fitted under the inference {first!r}, and the model predicts "
            f"under {inference!r}, where probabilities differ; train again to have thresholds of this inference too"
        )
    return rule
