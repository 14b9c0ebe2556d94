"""What the hardware can do."""

from __future__ import annotations

import torch

__all__ = ["has_bf16"]


def has_bf16() -> bool:
    """Whether the hardware that is there multiplies in bfloat16: the GPU where there is one, else the processor.

    Emulated bfloat16 is slower than float32 and does not count.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
