"""How much a test score depends on the order of the labels in the prompt."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from mlemo.metrics import MultiLabelMetrics
from mlemo.models import BertWDL
from mlemo.nn.prompt_order import prompt_orders, reorder_prompt
from mlemo.utils.serialization import Recorded

__all__ = ["PromptOrders"]

METRICS = ("macro_f1", "micro_f1", "jaccard", "macro_ap")


class PromptOrders(Recorded, Callback):
    """Scores the test split again under ``k`` orders of the prompt, those of ``model.evaluation_orders: k``.

    For macro-F1, micro-F1 and Jaccard at threshold 0.5 and for macro AP, these values are added to the results:

    ======================= =======================================================
    ``<metric>_order_mean`` mean of the metric over the orders
    ``<metric>_order_std``  its standard deviation over the orders (``k - 1``)
    ``<metric>_averaged``   the metric of the mean of the logits over the orders
    ======================= =======================================================

    The standard deviation is 0 up to rounding where the model has an order-free prompt or averages over orders itself.
    A test costs ``k`` additional forward passes.

    Args:
        k: Number of orders; the first is the canonical one.

    Raises:
        ValueError: ``k`` below two; or, when testing starts, a model without a prompt.
    """

    def __init__(self, k: int = 5) -> None:
        if k < 2:
            raise ValueError(f"PromptOrders.k must be at least 2, found {k}")
        self.k = k
        self._metrics: list[MultiLabelMetrics] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the metrics of each order, and those of the mean."""
        if not isinstance(pl_module, BertWDL):
            raise ValueError(
                f"PromptOrders reorders the labels in the prompt, and {type(pl_module).__name__} has no prompt"
            )
        self._metrics = [MultiLabelMetrics(pl_module.label_space).to(pl_module.device) for _ in range(self.k + 1)]

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Count the batch under every order."""
        rows, labels = batch["labels"].shape
        orders = prompt_orders(self.k, labels).to(pl_module.device)
        with trainer.precision_plugin.forward_context():  # hooks run outside of it
            each = [pl_module(reorder_prompt(batch, order.expand(rows, -1))).float() for order in orders]
        for metrics, logits in zip(self._metrics, [*each, torch.stack(each).mean(0)], strict=True):
            metrics.update(logits.sigmoid(), batch["labels"], mask=batch["label_mask"])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the spread, and the scores of the mean."""
        *each, averaged = [metrics.compute() for metrics in self._metrics]
        for name in METRICS:
            values = torch.stack([scores[name] for scores in each])
            found = {f"{name}_order_mean": values.mean(), f"{name}_order_std": values.std()}
            found[f"{name}_averaged"] = averaged[name]
            for key, value in found.items():
                pl_module.log(f"test/{key}", value, sync_dist=True)
