"""Training loops and networks in plain PyTorch: what mlemo's training is measured against."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from race import current
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel

from mlemo.data import TokenizedCorpus
from mlemo.samplers import ShuffledBatchSampler


class Plain(nn.Module):
    """Encoder, mean over the tokens, dropout, linear head; binary cross-entropy."""

    def __init__(self, folder: str, labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(self.encoder.config.hidden_size, labels)

    def forward(self, batch: Any) -> Tensor:
        mask = batch["attention_mask"]
        types = batch.get("token_type_ids")
        states = self.encoder(batch["input_ids"], attention_mask=mask, token_type_ids=types).last_hidden_state
        mask = mask.unsqueeze(-1).to(states.dtype)
        logits = self.head(self.dropout((states * mask).sum(1) / mask.sum(1)))
        return F.binary_cross_entropy_with_logits(logits, batch["labels"])


class Prompted(nn.Module):
    """Encoder over prompt and text, self-attention over the read-outs, one head; WDL1 in closed form."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)
        width = self.encoder.config.hidden_size
        self.attention = nn.MultiheadAttention(
            width, self.encoder.config.num_attention_heads, dropout=0.1, batch_first=True
        )
        self.dropout, self.norm = nn.Dropout(0.1), nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)
        self.weights = nn.Parameter(torch.zeros(2))

    def forward(self, batch: Any) -> Tensor:
        mask, types = batch["attention_mask"], batch.get("token_type_ids")
        states = self.encoder(batch["input_ids"], attention_mask=mask, token_type_ids=types).last_hidden_state
        places = batch["label_positions"].unsqueeze(-1).expand(-1, -1, states.shape[-1])
        readouts = states.gather(1, places)
        refined = self.attention(readouts, readouts, readouts, need_weights=False)[0]
        logits = self.head(self.norm(readouts + self.dropout(refined))).squeeze(-1).float()
        targets = batch["labels"]
        error = logits.softmax(-1) - F.normalize(targets, p=1, dim=-1)
        labels = targets.shape[1]
        first_difference = 2 * labels / (labels - 1) * error.var(-1, correction=0).mean()
        steps = F.softplus(self.weights).flip(0).cumsum(0).flip(0)
        ratio_weight, difference_weight = steps / steps.mean()
        cross_entropy = F.binary_cross_entropy_with_logits(logits, targets)
        return cross_entropy + ratio_weight * error.square().mean() + difference_weight * first_difference


def train(
    network: Callable[[], nn.Module], dataset: TokenizedCorpus, batch_size: int, epochs: int, precision: str
) -> None:
    """The steps of mlemo's training at default settings, gradients clipped at norm 1, on the batches that it takes."""
    model = network().train()
    loss_weights = [parameter for name, parameter in model.named_parameters() if name == "weights"]
    layers = [(name, parameter) for name, parameter in model.named_parameters() if name != "weights"]
    small = [parameter for name, parameter in layers if name.endswith("bias") or "norm" in name.lower()]
    large = [parameter for name, parameter in layers if not (name.endswith("bias") or "norm" in name.lower())]
    groups = [{"params": large, "weight_decay": 0.01}, {"params": small, "weight_decay": 0.0}]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=3e-5, betas=(0.9, 0.98), fused=True)]
    sampler = ShuffledBatchSampler(len(dataset), batch_size, dataset.lengths)
    total = epochs * len(sampler)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizers[0], lambda step: min(10 * step / total, (total - step) / (0.9 * total))
    )
    if loss_weights:
        optimizers.append(torch.optim.SGD(loss_weights, lr=0.01, momentum=0.9))
    mixed = torch.autocast("cpu", torch.bfloat16) if precision == "bf16-mixed" else nullcontext()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        current().epoch_start()
        for rows in sampler:
            batch = dataset.__getitems__(rows)
            with mixed:
                loss = model(batch)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_((parameter for _, parameter in layers), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            schedule.step()
            current().step_end()
