"""Orders of a prompt, the block attention mask written out token by token, and the encoders that are refused."""

from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
)

from mlemo.nn.prompt_order import check_order_free, prompt_orders, visible_tokens

SIZE = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
T5 = {"vocab_size": 60, "d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 32, "d_kv": 16}


def test_which_token_attends_to_which() -> None:
    """Of ``[CLS] a [MASK] b [SEP] text text``, and the same with one token of padding."""
    segments = torch.tensor([-1, 0, 0, 1, 2, 2, 2]).expand(2, -1)
    attention_mask = torch.tensor([[1] * 7, [1] * 6 + [0]])
    shared, own = [0, 4, 5, 6], {1: [1, 2], 2: [1, 2], 3: [3]}
    visible = visible_tokens(segments, attention_mask, labels=2)
    assert visible.shape == (2, 1, 7, 7)
    for row in range(2):
        for token in range(7):
            expected = {other for other in shared + own.get(token, []) if attention_mask[row, other]}
            assert set(visible[row, 0, token].nonzero().flatten().tolist()) == expected


def test_orders_are_permutations_the_first_is_canonical_and_they_never_change() -> None:
    orders = prompt_orders(5, 11)
    assert orders[0].tolist() == list(range(11))
    assert (orders.sort(1).values == torch.arange(11)).all()
    assert len(orders.unique(dim=0)) == 5
    torch.manual_seed(7)
    assert torch.equal(prompt_orders(3, 11), orders[:3])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [BertModel, RobertaModel])
def test_encoders_with_absolute_positions_pass(kind: Any, attention: str) -> None:
    config = {BertModel: BertConfig, RobertaModel: RobertaConfig}[kind](**SIZE, attn_implementation=attention)
    encoder = kind(config, add_pooling_layer=False).train()
    check_order_free(encoder)
    assert encoder.training


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: DebertaV2Model(DebertaV2Config(**SIZE, relative_attention=True, pos_att_type=["c2p"])),
        lambda: T5EncoderModel(T5Config(**T5)),
    ],
    ids=["DeBERTa", "T5"],
)
def test_other_encoders_are_refused(encoder: Any) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"prompt_order free needs .* does not: .+prompt_order sequential"):
        check_order_free(encoder())


def test_an_encoder_without_position_ids_is_refused() -> None:
    class Unplaced(BertModel):
        def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
            return super().forward(input_ids, attention_mask)

    with pytest.raises(ValueError, match=r"Unplaced does not: .*unexpected keyword argument 'position_ids'"):
        check_order_free(Unplaced(BertConfig(**SIZE), add_pooling_layer=False))


def test_an_encoder_that_ignores_the_mask_is_refused() -> None:
    class Unmasked(BertModel):
        def forward(self, *args: Any, attention_mask: Any = None, **inputs: Any) -> Any:
            return super().forward(*args, **inputs)

    with pytest.raises(ValueError, match="or it ignores the attention mask"):
        check_order_free(Unmasked(BertConfig(**SIZE), add_pooling_layer=False))
