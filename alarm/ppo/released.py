"""The released code's score placement, reproduced so that its effect can be measured."""

from __future__ import annotations

import torch
from torch import Tensor


def released_placement(rewards: Tensor, response_mask: Tensor) -> Tensor:
    """Right-align each row's rewards to the padded width T, then mask: score k lands on position T - n + k.

    Only rows that fill the whole width keep their rewards in place. A row of n tokens has them moved right by T - n,
    and what falls behind its end is lost: the holistic reward of every response but the longest ones, and every reward
    of rows with n <= T / 2.

    Args:
        rewards: per-token rewards where the paper means them to be, [B, T].
        response_mask: [B, T], boolean, right-padded.
    Returns:
        [B, T], the rewards PPO receives in the released code.
    Source: github.com/halfrot/ALaRM at f5b3cf8, trl/trl/trainer/ppo_trainer.py, lines 1054 and 1087.
    """
    width = response_mask.shape[1]
    shift = width - response_mask.sum(dim=1, keepdim=True)
    source = torch.arange(width, device=rewards.device).unsqueeze(0) - shift
    moved = torch.where(source >= 0, rewards.gather(1, source.clamp(min=0)), 0.0)
    return torch.where(response_mask, moved, 0.0)
