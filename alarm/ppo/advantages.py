"""Generalised advantage estimation over right-padded responses, masked whitening, and a baseline from other samples."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns of every token.

    Rewards and values count as 0 where `mask` is False, so nothing is bootstrapped behind a response's end.

    Args:
        rewards: per token, KL penalty included, [B, T].
        values: predictions before each token, [B, T].
        mask: boolean, [B, T]; True at tokens that take part.
        gamma: discount per token.
        lam: 1 gives return minus value, 0 the one-step error.
    Returns:
        advantages [B, T] and returns = advantages + values [B, T], both 0 where `mask` is False.
    Source: arXiv:1506.02438, equation 16; PPO on tokens as in arXiv:1909.08593.
    """
    rewards = torch.where(mask, rewards, 0.0)
    values = torch.where(mask, values, 0.0)
    next_values = torch.cat((values[:, 1:], torch.zeros_like(values[:, :1])), dim=1)
    errors = rewards + gamma * next_values - values
    advantages = torch.zeros_like(errors)
    running = torch.zeros_like(errors[:, 0]) if errors.shape[1] else None
    for t in reversed(range(errors.shape[1])):
        running = errors[:, t] + gamma * lam * running
        advantages[:, t] = running
    advantages = torch.where(mask, advantages, 0.0)
    return advantages, advantages + values


def leave_one_out(rewards: Tensor, mask: Tensor, *, per_prompt: int) -> Tensor:
    """Rewards less, on each row's last token, the mean total reward of the prompt's other responses.

    A response has no part in its own baseline, so the expected policy gradient stays the same; what all responses to a
    prompt have in common, most of the variance where prompts differ in difficulty, is gone before the critic sees it.

    Args:
        rewards: per token, [B, T]; counted as 0 where `mask` is False.
        mask: boolean, [B, T], right-padded.
        per_prompt: responses to each prompt, next to each other; B is a multiple of it. 1 changes nothing.
    Returns:
        [B, T]; a row without real tokens stays 0.
    Raises:
        ValueError: rows cannot be cut into groups of that size.
    Source: arXiv:2402.14740 (REINFORCE leave-one-out), as a control variate inside PPO.
    """
    if per_prompt < 1 or len(rewards) % per_prompt:
        raise ValueError(f"{len(rewards)} responses cannot be cut into groups of {per_prompt} responses per prompt")
    rewards = torch.where(mask, rewards, 0.0)
    if per_prompt == 1:
        return rewards
    totals = rewards.sum(dim=1).view(-1, per_prompt)
    baseline = ((totals.sum(dim=1, keepdim=True) - totals) / (per_prompt - 1)).flatten()
    last = mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1), value=False)
    return rewards - baseline.unsqueeze(1) * last


def whiten(values: Tensor, mask: Tensor, *, epsilon: float = 1e-8) -> Tensor:
    """`values` [B, T] shifted and scaled to mean 0 and variance 1 over the tokens where `mask` [B, T] is True.

    The variance is the unbiased one, `epsilon` is added to it inside the root. Elsewhere the result is 0. A single
    active token becomes 0, and without active tokens everything is 0.

    Source: the released code of arXiv:2403.06754 (TRL's masked_whiten).
    """
    count = int(mask.sum())
    if count < 2:
        return torch.zeros_like(values)
    centred = torch.where(mask, values - torch.where(mask, values, 0.0).sum() / count, 0.0)
    variance = centred.square().sum() / (count - 1)
    return centred * torch.rsqrt(variance + epsilon)
