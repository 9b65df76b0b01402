"""Mixed precision: matrix products of training in bfloat16 where the hardware has them, which is twice as fast or more;
weights, their updates and the last layer of every tower stay in float32 (Micikevicius et al., ICLR 2018,
https://arxiv.org/abs/1710.03740; bfloat16: Kalamkar et al. 2019, https://arxiv.org/abs/1905.12322)."""

from __future__ import annotations

import torch

from mtl_pipeline.hardware import has_bfloat16
from mtl_pipeline.spec.learning import Precision


def mixed_precision(device: torch.device, precision: Precision) -> torch.autocast:
    """The context of a forward pass."""
    return torch.autocast(device.type, torch.bfloat16, enabled=is_mixed(device, precision))


def is_mixed(device: torch.device, precision: Precision) -> bool:
    """Whether matrices are multiplied in bfloat16: what `auto` comes to on this device."""
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
