"""Storage of rules in checkpoints, as plain values that are loaded without running code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from mlemo.thresholds.base import ThresholdRule
from mlemo.utils.serialization import component_from_dict, component_to_dict, plain

__all__ = ["rule_from_dict", "rule_of_inference", "rule_to_dict", "rules_from_checkpoint", "rules_to_checkpoint"]

KEY, BY_INFERENCE = "thresholds", "thresholds_by_inference"


def rule_to_dict(rule: ThresholdRule) -> dict[str, Any]:
    """Convert a rule to plain values, which ``torch.load(weights_only=True)`` can load from a checkpoint.

    Args:
        rule: A rule of mlemo or of the user, fitted or not; its arguments may be rules themselves.

    Returns:
        ``{"class_path": dotted path, "init_args": {...}, "state": {...}}``. The path is the one exported by the rule's
        package, if any, so that modules may move without breaking checkpoints. A rule among the arguments is
        ``{"class_path", "init_args"}``, as in YAML; its state is part of the outer rule's.

    Raises:
        ValueError: The class cannot be imported by a path (it was defined inside a function), or an ``__init__``
            argument is not stored as a plain value or a rule in an attribute of its own name.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> rule_to_dict(FixedThreshold(0.3))["class_path"], rule_to_dict(FixedThreshold(0.3))["init_args"]
        ('mlemo.thresholds.FixedThreshold', {'threshold': 0.3})
    """
    definition = component_to_dict(rule, nested=ThresholdRule)
    return {**definition, "state": plain(rule.state_dict(), f"the state of {type(rule).__name__}")}


def rule_from_dict(stored: Mapping[str, Any]) -> ThresholdRule:
    """Restore a rule from the values of :func:`rule_to_dict`.

    Args:
        stored: ``{"class_path", "init_args", "state"}``.

    Returns:
        The rule, fitted if the stored one was.

    Raises:
        ValueError: A key is missing, the class does not exist, is not trusted or is not a :class:`ThresholdRule`, or
            the arguments or the state do not match the class.

    Example:
        >>> from mlemo.thresholds import FixedThreshold
        >>> rule_from_dict(rule_to_dict(FixedThreshold(0.3))).threshold
        0.3
    """
    missing = {"class_path", "init_args", "state"} - set(stored)
    if missing:
        raise ValueError(f"a stored rule needs the keys class_path, init_args and state; {sorted(missing)} missing")
    rule: ThresholdRule = component_from_dict(stored, ThresholdRule, "rule")  # type: ignore[type-abstract]
    rule.load_state_dict(stored["state"])
    return rule


def rules_to_checkpoint(rules: Mapping[str, ThresholdRule]) -> dict[str, Any]:
    """Create the checkpoint entries of the fitted rules of a model.

    Args:
        rules: The rules by the inference mode under which each was fitted, that of validation and test first.

    Returns:
        ``thresholds``, the first rule as plain values, and ``thresholds_by_inference``, all of them by name.
    """
    stored = {inference: rule_to_dict(rule) for inference, rule in rules.items()}
    return {KEY: next(iter(stored.values())), BY_INFERENCE: stored}


def rules_from_checkpoint(checkpoint: Mapping[str, Any], inference: str) -> dict[str, ThresholdRule]:
    """Load the fitted rules of a checkpoint, by the inference mode under which each was fitted.

    Args:
        checkpoint: The checkpoint.
        inference: The mode of validation and test, for a checkpoint that does not name it (mlemo 0.1.0).

    Returns:
        The rules; empty where the checkpoint has none.
    """
    unnamed = {inference: checkpoint[KEY]} if KEY in checkpoint else {}
    return {name: rule_from_dict(stored) for name, stored in checkpoint.get(BY_INFERENCE, unnamed).items()}


def rule_of_inference(rules: Mapping[str, ThresholdRule], inference: str) -> ThresholdRule:
    """Return the rule fitted under an inference mode; if missing, the first one, with a warning if it learns."""
    first, rule = next(iter(rules.items()))
    if inference in rules:
        return rules[inference]
    if rule.learns:
        rank_zero_warn(
            f"labels are decided by thresholds that were fitted under the inference {first!r}, and the model predicts "
            f"under {inference!r}, where probabilities differ; train again to have thresholds of this inference too"
        )
    return rule
