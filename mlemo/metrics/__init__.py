"""Metrics; their names, formulas and conventions are listed in :mod:`mlemo.metrics.collection`."""

from mlemo.metrics.collection import MultiLabelMetrics

__all__ = ["MultiLabelMetrics"]
