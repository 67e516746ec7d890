"""From the scores of one batch to per-token rewards: one pure function per method.

Notation, the same in every function: `holistic` is h, [B], z-normalised; `aspect` is a, [B, T], already transformed;
`response_mask` is [B, T], boolean, True on real tokens, right-padded; e_n is one on a row's last real token, else zero.
All return [B, T] float32 rewards, zero outside the mask. The KL penalty is not part of a composition: PPO subtracts it.

A row without real tokens earns 0 everywhere. A NaN or infinite score raises `ValueError` naming its rows.
Values of `aspect` outside the mask are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from alarm.transforms import log_sigmoid_centered


def holistic_rewards(holistic: Tensor, response_mask: Tensor, *, holistic_weight: float) -> Tensor:
    """`w_h h e_n`: the whole response's reward on its last token.

    Source: arXiv:2403.06754, section 4.1 (baseline "holistic reward").
    """
    _check(holistic, None, response_mask)
    return (holistic_weight * holistic.float()).unsqueeze(1) * last_token(response_mask)


def aspect_rewards(aspect: Tensor, response_mask: Tensor, *, aspect_weight: float = 1.0) -> Tensor:
    """`w_a a`: the aspect's dense reward alone.

    Source: arXiv:2403.06754, section 4.1 (baselines "factuality reward" and "grammar reward").
    """
    _check(None, aspect, response_mask)
    return torch.where(response_mask, aspect_weight * aspect.float(), 0.0)


def weighted_sum_rewards(
    holistic: Tensor, aspect: Tensor, response_mask: Tensor, *, holistic_weight: float, aspect_weight: float = 1.0
) -> Tensor:
    """`w_a a + w_h h e_n` for every response, whatever its holistic reward.

    Source: arXiv:2403.06754, section 4.1 (baseline "weighted sum").
    """
    return aspect_rewards(aspect, response_mask, aspect_weight=aspect_weight) + holistic_rewards(
        holistic, response_mask, holistic_weight=holistic_weight
    )


def hierarchical_rewards(
    holistic: Tensor,
    aspect: Tensor,
    response_mask: Tensor,
    *,
    threshold: float,
    holistic_weight: float,
    aspect_weight: float = 1.0,
) -> Tensor:
    """`w_a a + w_h h e_n` where `h >= threshold`, else `w_h h e_n`: the aspect counts among good responses only.

    A response exactly at the threshold is above it. With a positive aspect, crossing the threshold always adds reward.

    Source: arXiv:2403.06754, section 3.2, equation for the hierarchical reward.
    """
    _check(holistic, aspect, response_mask)
    above = (holistic >= threshold).unsqueeze(1)
    dense = torch.where(above, aspect_rewards(aspect, response_mask, aspect_weight=aspect_weight), 0.0)
    return dense + holistic_rewards(holistic, response_mask, holistic_weight=holistic_weight)


def log_sigmoid_sum_rewards(
    rewards: Mapping[str, Tensor], references: Mapping[str, Tensor], response_mask: Tensor, *, weight: float
) -> Tensor:
    """`w (sum_i log sigma(r_i - r_ref,i)) e_n`: the log-probability that a response is good in every property i.

    If properties are judged independently, this is `w log prod_i p(good_i)`: a logical AND. One bad property cannot be
    made up for by others, since what they can add is bounded.

    Args:
        rewards: r_i of each property i by name, [B] each, in log-odds.
        references: r_ref,i of the same properties, [B] each, in the same units.
        weight: w, positive; it sets the exchange rate against the KL penalty.
    Raises:
        ValueError: no property, or properties of rewards and references differ.
    Source: arXiv:2402.00742 (aggregation of transformed rewards).
    """
    _check_properties(rewards, references, response_mask)
    total = sum(log_sigmoid_centered(rewards[name], references[name]) for name in rewards)
    return holistic_rewards(total, response_mask, holistic_weight=weight)


def raw_sum_rewards(
    rewards: Mapping[str, Tensor], references: Mapping[str, Tensor], response_mask: Tensor, *, weight: float
) -> Tensor:
    """`w (sum_i (r_i - r_ref,i)) e_n`: `log_sigmoid_sum_rewards` without the transformation, its control.

    The references shift a prompt's rewards and change no preference; they keep the sum near 0 for an average response.

    Arguments and errors are those of `log_sigmoid_sum_rewards`.

    Source: arXiv:2402.00742 (baseline "sum of raw rewards").
    """
    _check_properties(rewards, references, response_mask)
    total = sum(rewards[name] - references[name] for name in rewards)
    return holistic_rewards(total, response_mask, holistic_weight=weight)


def last_token(response_mask: Tensor) -> Tensor:
    """e_n: [B, T] boolean, True on the last real token of each row; a row without real tokens is all False."""
    following = torch.nn.functional.pad(response_mask[:, 1:], (0, 1), value=False)
    return response_mask & ~following


def _check(holistic: Tensor | None, aspect: Tensor | None, response_mask: Tensor) -> None:
    if response_mask.dtype != torch.bool or response_mask.dim() != 2:
        raise ValueError(
            f"response_mask must be boolean [batch, time], got {response_mask.dtype} {tuple(response_mask.shape)}"
        )
    if (response_mask[:, 1:] & ~response_mask[:, :-1]).any():
        raise ValueError("response_mask must be right-padded: a real token follows padding in at least one row")
    if holistic is not None:
        if holistic.shape != response_mask.shape[:1]:
            raise ValueError(f"holistic must be [{len(response_mask)}], one per response, got {tuple(holistic.shape)}")
        _check_finite("holistic", holistic.unsqueeze(1))
    if aspect is not None:
        if aspect.shape != response_mask.shape:
            raise ValueError(f"aspect must be {tuple(response_mask.shape)} like the mask, got {tuple(aspect.shape)}")
        _check_finite("aspect", torch.where(response_mask, aspect, 0.0))


def _check_properties(rewards: Mapping[str, Tensor], references: Mapping[str, Tensor], response_mask: Tensor) -> None:
    if not rewards or set(rewards) != set(references):
        raise ValueError(
            f"a sum over properties needs at least one, each with a reference; got rewards of {sorted(rewards)} and "
            f"references of {sorted(references)}"
        )
    for kind, columns in (("reward", rewards), ("reference", references)):
        for name, values in columns.items():
            if values.shape != response_mask.shape[:1]:
                raise ValueError(f"{kind} of {name} must be [{len(response_mask)}], got {tuple(values.shape)}")
            _check_finite(name if kind == "reward" else f"{name} reference", values.unsqueeze(1))


def _check_finite(name: str, scores: Tensor) -> None:
    bad = (~torch.isfinite(scores)).any(dim=1).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"{name} reward is NaN or infinite in rows {bad[:10]}{' ...' if len(bad) > 10 else ''}")
