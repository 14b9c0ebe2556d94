"""Packed linear layers give what the layers give that they replace."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from mlemo.nn.packed_linear import PackedLinear, pack_linear
from mlemo.utils.hardware import has_bf16

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def bert(**settings: Any) -> nn.Module:
    return BertModel(BertConfig(**SIZES, intermediate_size=48, **settings), add_pooling_layer=False)


def lora() -> nn.Module:
    config = LoraConfig(r=2, target_modules=["query", "dense"], init_lora_weights=False)
    return inject_adapter_in_model(config, bert())


ENCODERS = {
    "BERT": bert,
    "BERT with the GELU by tanh": lambda: bert(hidden_act="gelu_new"),
    "BERT with eager attention": lambda: bert(attn_implementation="eager"),
    "DistilBERT": lambda: DistilBertModel(DistilBertConfig(vocab_size=60, dim=32, n_heads=2, n_layers=2)),
    "LoRA": lora,
}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_gives_the_same(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name]().eval()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    packed = copy.deepcopy(encoder)
    pack_linear(packed, torch.float32)
    assert not any(type(module) is nn.Linear for module in packed.modules())
    ids = torch.randint(60, (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    with torch.inference_mode():
        expected, found = (one(input_ids=ids, attention_mask=mask).last_hidden_state for one in (encoder, packed))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        if has_bf16():
            pack_linear(encoder, torch.bfloat16)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            error = (rounded - expected).abs().mean() / expected.abs().mean()
            assert 1e-4 < error < 0.03


@pytest.mark.parametrize("bias", [True, False])
def test_gelu_is_applied_to_the_product(bias: bool) -> None:
    torch.manual_seed(0)
    linear, states = nn.Linear(7, 5, bias=bias), torch.randn(2, 3, 7)
    with torch.inference_mode():
        found = PackedLinear(linear, torch.float32, gelu=True)(states)
        torch.testing.assert_close(found, nn.functional.gelu(linear(states)))
