"""Table of a model's parts with their parameters."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import callbacks
from lightning.pytorch.utilities.model_summary import get_human_readable_count
from rich.console import Console
from rich.table import Table

__all__ = ["ModelSummary"]


class ModelSummary(callbacks.ModelSummary):
    """Print name, class and number of parameters of each part, and how many parameters are trained.

    Lightning's own table also has a column of floating-point operations, which counts nothing without an example input.
    Lightning's setting ``max_depth`` is the depth of nesting of the listed parts; 0 for no table, -1 for all of them.
    """

    @staticmethod
    def summarize(  # noqa: PLR0917  # Lightning's signature
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Print the table."""
        columns = dict(summary_data)
        table = Table("part", "class", caption=_totals(total_parameters, trainable_parameters), caption_justify="left")
        table.add_column("parameters", justify="right")
        for row in zip(columns["Name"], columns["Type"], columns["Params"]):
            table.add_row(*row)
        Console().print(table)


def _totals(parameters: int, trained: int) -> str:
    counts = [get_human_readable_count(number).strip() for number in (parameters, trained)]
    return f"{counts[0]} parameters, {counts[1]} of them trained"
