"""Scores under other orders of the prompt, against the model called on each reordered batch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mlemo.callbacks import PromptOrders
from mlemo.metrics import MultiLabelMetrics
from mlemo.nn.prompt_order import prompt_orders, reorder_prompt

Maker = Callable[..., Any]


def spread_out(model: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
        model.head.bias.fill_(0.0)
    return model


def scores_of(model: Any, data: Maker, trainer: Maker, k: int) -> dict[str, float]:
    run = trainer(callbacks=[PromptOrders(k)])
    run.test(model, datamodule=data(eval_batch_size=4), verbose=False)
    return {name.removeprefix("test/"): float(value) for name, value in run.callback_metrics.items()}


def test_mean_spread_and_averaged_logits_are_those_of_the_orders(bert_wdl: Maker, data: Maker, trainer: Maker) -> None:
    model, module = spread_out(bert_wdl()), data()
    found = scores_of(model, data, trainer, k=3)
    batch = module.dataset("test", model.data_input).__getitems__(range(10))
    with torch.no_grad():
        logits = [model.eval()(reorder_prompt(batch, order.expand(10, -1))) for order in prompt_orders(3, 5)]

    def score(logits: torch.Tensor) -> dict[str, torch.Tensor]:
        metrics = MultiLabelMetrics(model.label_space)
        metrics.update(logits.sigmoid(), batch["labels"], mask=batch["label_mask"])
        return metrics.compute()

    for name in ("macro_f1", "micro_f1", "jaccard", "macro_ap"):
        values = torch.stack([score(one)[name] for one in logits])
        assert found[f"{name}_order_mean"] == pytest.approx(values.mean().item(), abs=1e-6)
        assert found[f"{name}_order_std"] == pytest.approx(values.std().item(), abs=1e-6)
        assert found[f"{name}_averaged"] == pytest.approx(score(torch.stack(logits).mean(0))[name].item(), abs=1e-6)
    assert found["macro_ap_order_std"] > 1e-3, "the order makes no difference: nothing is shown"
    averaging = spread_out(bert_wdl(evaluation_orders=3))
    assert scores_of(averaging, data, trainer, k=3)["macro_ap"] == pytest.approx(found["macro_ap_averaged"], abs=1e-6)


@pytest.mark.parametrize("settings", [{"prompt_order": "free"}, {"evaluation_orders": 2}])
def test_nothing_is_left_of_the_spread(settings: dict[str, Any], bert_wdl: Maker, data: Maker, trainer: Maker) -> None:
    found = scores_of(spread_out(bert_wdl(**settings)), data, trainer, k=2)
    assert found["macro_ap_order_std"] == pytest.approx(0.0, abs=1e-6)


def test_the_orders_are_scored_in_the_precision_of_the_run(
    bert_wdl: Maker, data: Maker, trainer: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bert_wdl()
    precisions: list[torch.dtype | None] = []

    def forward(batch: Any) -> torch.Tensor:
        precisions.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return torch.zeros(batch["labels"].shape)

    monkeypatch.setattr(model, "forward", forward)
    run = trainer(callbacks=[PromptOrders(2)], precision="bf16-mixed")
    run.test(model, datamodule=data(eval_batch_size=5), verbose=False)
    assert precisions == [torch.bfloat16] * 6  # two batches, each once in the test and under two orders


def test_a_model_without_prompt_and_a_single_order_are_refused(classifier: Maker, data: Maker, trainer: Maker) -> None:
    with pytest.raises(ValueError, match="TransformerClassifier has no prompt"):
        scores_of(classifier(), data, trainer, k=2)
    with pytest.raises(ValueError, match=r"PromptOrders\.k must be at least 2, found 1"):
        PromptOrders(1)
