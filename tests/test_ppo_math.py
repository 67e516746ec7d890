"""KL, advantages, whitening and PPO's losses: properties, a slow loop in float64, values worked by hand, invariance."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from alarm.ppo.advantages import gae, leave_one_out, whiten
from alarm.ppo.batch import TokenBatch
from alarm.ppo.kl import AdaptiveKLController, log_ratio, response_kl
from alarm.ppo.losses import (
    explained_variance,
    masked_mean,
    masked_sum,
    policy_losses,
    value_losses,
)


@st.composite
def token_arrays(draw, arrays: int = 2, *, min_length: int = 0) -> tuple[Tensor, ...]:
    """`arrays` float64 matrices [B, T] and a right-padded boolean mask; rows may be empty if `min_length` is 0."""
    rows, width = draw(st.integers(1, 5)), draw(st.integers(max(1, min_length), 7))
    lengths = torch.tensor(draw(st.lists(st.integers(min_length, width), min_size=rows, max_size=rows)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    values = [torch.randn(rows, width, generator=generator, dtype=torch.float64) for _ in range(arrays)]
    return *values, torch.arange(width) < lengths.unsqueeze(1)


def padded(tensor: Tensor, columns: int, value: float) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, columns), value=value)


def slow_gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """The defining double sum, in Python floats."""
    result = torch.zeros_like(rewards)
    for row in range(len(mask)):
        n = int(mask[row].sum())
        for t in range(n):
            for k in range(t, n):
                following = float(values[row, k + 1]) if k + 1 < n else 0.0
                error = float(rewards[row, k]) + gamma * following - float(values[row, k])
                result[row, t] += (gamma * lam) ** (k - t) * error
    return result


rates = st.floats(0.0, 1.0)


@given(token_arrays(), rates, rates)
def test_gae_equals_the_defining_sum(arrays, gamma, lam):
    rewards, values, mask = arrays
    advantages, returns = gae(rewards, values, mask, gamma=gamma, lam=lam)
    expected = slow_gae(rewards, values, mask, gamma, lam)
    torch.testing.assert_close(advantages, expected)
    torch.testing.assert_close(returns, torch.where(mask, expected + values, 0.0))


@given(token_arrays(), rates)
def test_gae_ends_at_one_step_error_and_at_return_minus_value(arrays, gamma):
    rewards, values, mask = arrays
    rewards, values = rewards * mask, values * mask
    following = padded(values, 1, 0.0)[:, 1:]
    one_step, _ = gae(rewards, values, mask, gamma=gamma, lam=0.0)
    torch.testing.assert_close(one_step, (rewards + gamma * following - values) * mask)
    _, returns = gae(rewards, values, mask, gamma=1.0, lam=1.0)
    torch.testing.assert_close(returns, rewards.flip(1).cumsum(1).flip(1) * mask)


@given(token_arrays(), rates, st.integers(0, 4), st.sampled_from([math.nan, math.inf, 1e9]))
def test_padding_changes_nothing(arrays, lam, columns, garbage):
    rewards, values, mask = arrays
    wide = padded(mask, columns, False)
    dirty = [torch.where(wide, padded(x, columns, 0.0), garbage) for x in (rewards, values)]
    for clean, padded_result in zip(
        gae(rewards, values, mask, gamma=1.0, lam=lam), gae(*dirty, wide, gamma=1.0, lam=lam), strict=True
    ):
        assert torch.equal(padded(clean, columns, 0.0), padded_result)
    torch.testing.assert_close(padded(whiten(values, mask), columns, 0.0), whiten(dirty[1], wide))
    torch.testing.assert_close(masked_mean(values, mask), masked_mean(dirty[1], wide))
    assert response_kl(dirty[0], wide) == pytest.approx(response_kl(rewards, mask))
    assert explained_variance(*dirty, wide) == pytest.approx(explained_variance(rewards, values, mask))


@given(token_arrays(), rates, st.randoms(use_true_random=False))
def test_rows_are_independent(arrays, lam, random):
    rewards, values, mask = arrays
    order = torch.tensor(random.sample(range(len(mask)), len(mask)))
    advantages, _ = gae(rewards, values, mask, gamma=1.0, lam=lam)
    permuted, _ = gae(rewards[order], values[order], mask[order], gamma=1.0, lam=lam)
    assert torch.equal(advantages[order], permuted)


def test_gae_by_hand():
    rewards = torch.tensor([[0.0, 1.0, 9.0]])
    values = torch.tensor([[0.5, 2.0, 9.0]])
    mask = torch.tensor([[True, True, False]])
    advantages, returns = gae(rewards, values, mask, gamma=1.0, lam=0.5)
    # Errors: 0 + 2 - 0.5 = 1.5 and 1 + 0 - 2 = -1; the padded token's value 9 is never looked at.
    assert advantages.tolist() == [[1.5 - 0.5, -1.0, 0.0]]
    assert returns.tolist() == [[1.5, 1.0, 0.0]]


@given(token_arrays(1))
def test_whitened_tokens_have_mean_zero_and_variance_one(arrays):
    values, mask = arrays
    white = whiten(values * 3 + 7, mask)
    assert torch.equal(white[~mask], torch.zeros_like(white[~mask]))
    if mask.sum() < 2:
        assert torch.equal(white, torch.zeros_like(white))
        return
    assert float(white[mask].mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(white[mask].var()) == pytest.approx(1.0, rel=1e-4)


@given(token_arrays(1), st.floats(0.1, 10), st.floats(-5, 5))
def test_whitening_forgets_scale_and_shift(arrays, scale, shift):
    values, mask = arrays
    torch.testing.assert_close(whiten(values, mask), whiten(values * scale + shift, mask), rtol=1e-4, atol=1e-4)


def test_whiten_by_hand():
    # Mean 2, unbiased variance (4 + 0 + 4) / 2 = 4, so standard deviation 2.
    white = whiten(torch.tensor([[0.0, 2.0, 50.0], [4.0, 50.0, 50.0]]), torch.tensor([[1, 1, 0], [1, 0, 0]]).bool())
    torch.testing.assert_close(white, torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    equal = whiten(torch.full((2, 3), 5.0), torch.ones(2, 3, dtype=torch.bool))
    assert equal.abs().max() == 0


@given(token_arrays())
def test_the_log_ratio_is_signed_and_summed_per_response(arrays):
    log_probs, reference, mask = arrays
    ratios = log_ratio(log_probs, reference)
    assert torch.equal(ratios, -log_ratio(reference, log_probs))
    expected = sum(float(r) for row, m in zip(ratios, mask, strict=True) for r in row[m]) / len(mask)
    assert response_kl(ratios, mask) == pytest.approx(expected)


@given(st.integers(0, 2**31))
def test_k1_has_the_divergence_as_its_mean(seed):
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(6, generator=generator, dtype=torch.float64).log_softmax(0)
    q = torch.randn(6, generator=generator, dtype=torch.float64).log_softmax(0)
    divergence = torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum")
    ratios = log_ratio(p, q)
    torch.testing.assert_close((p.exp() * ratios).sum(), divergence)


def test_kl_by_hand():
    ratios = torch.tensor([[1.0, -0.5, 7.0], [0.25, 7.0, 7.0], [7.0, 7.0, 7.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]]).bool()
    assert response_kl(ratios, mask) == pytest.approx(0.25)
    assert response_kl(ratios[:0], mask[:0]) == 0.0


@given(st.floats(-50, 50), st.integers(1, 2000))
def test_controller_moves_toward_the_target(kl, responses):
    controller = AdaptiveKLController(0.2, target=6.0, horizon=10_000)
    controller.update(kl, responses)
    assert (controller.coefficient > 0.2) == (kl > 6.0)
    assert abs(controller.coefficient / 0.2 - 1) <= 0.2 * responses / 10_000 + 1e-12


def test_controller_by_hand():
    controller = AdaptiveKLController(0.2, target=6.0, horizon=10_000)
    for kl, expected in ((6.6, 0.2 * 1.001), (100.0, 0.2 * 1.001 * 1.002), (-3.0, 0.2 * 1.001 * 1.002 * 0.998)):
        controller.update(kl, 100)
        assert controller.coefficient == pytest.approx(expected)
    with pytest.raises(ValueError, match="target_kl"):
        AdaptiveKLController(0.2, target=0.0, horizon=10_000)
    with pytest.raises(ValueError, match="initial_kl_coef"):
        AdaptiveKLController(-0.1, target=6.0, horizon=10_000)


@given(token_arrays())
def test_nothing_is_clipped_at_ratio_one(arrays):
    log_probs, advantages, _ = arrays
    new = log_probs.clone().requires_grad_()
    result = policy_losses(new, log_probs, advantages, clip_range=0.2)
    assert (result.ratios == 1).all()
    assert not result.clipped.any()
    result.losses.sum().backward()
    torch.testing.assert_close(new.grad, -advantages)


@given(token_arrays(3), st.floats(0.01, 0.9))
def test_policy_loss_equals_the_slow_loop(arrays, clip):
    new, old, advantages, _ = arrays
    result = policy_losses(new, old, advantages, clip_range=clip)
    for row, col in torch.ones_like(new).nonzero().tolist():
        ratio, advantage = math.exp(new[row, col] - old[row, col]), float(advantages[row, col])
        bounded = min(max(ratio, 1 - clip), 1 + clip)
        assert float(result.losses[row, col]) == pytest.approx(-min(ratio * advantage, bounded * advantage))
        worse = (advantage > 0 and ratio > 1 + clip) or (advantage < 0 and ratio < 1 - clip)
        assert bool(result.clipped[row, col]) == worse


@given(token_arrays(3), st.floats(0.01, 2.0))
def test_value_loss_equals_the_slow_loop(arrays, clip):
    values, old, returns, _ = arrays
    result = value_losses(values, old, returns, clip_range=clip)
    for row, col in torch.ones_like(values).nonzero().tolist():
        value, before, target = (float(x[row, col]) for x in (values, old, returns))
        near = min(max(value, before - clip), before + clip)
        assert float(result[row, col]) == pytest.approx(0.5 * max((value - target) ** 2, (near - target) ** 2))


def test_losses_by_hand():
    old, new = torch.zeros(1, 4), torch.tensor([[1.5, 1.5, 0.5, 0.5]]).log()
    result = policy_losses(new, old, torch.tensor([[1.0, -1.0, 1.0, -1.0]]), clip_range=0.2)
    torch.testing.assert_close(result.losses, torch.tensor([[-1.2, 1.5, -0.5, 0.8]]))
    assert result.clipped.tolist() == [[True, False, False, True]]
    # The value has run 1 toward its target 2: the clipped one, 0.2, is 1.8 away.
    torch.testing.assert_close(
        value_losses(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([2.0]), clip_range=0.2),
        torch.tensor([0.5 * 1.8**2]),
    )


@given(token_arrays(3))
def test_masked_sums_of_parts_are_those_of_the_whole(arrays):
    new, old, advantages, mask = arrays
    losses = policy_losses(new, old, advantages, clip_range=0.2).losses
    parts = sum(masked_sum(losses[i : i + 1], mask[i : i + 1]) for i in range(len(mask)))
    torch.testing.assert_close(parts, masked_sum(losses, mask))
    expected = float(losses[mask].mean()) if mask.any() else 0.0
    assert float(masked_mean(losses, mask)) == pytest.approx(expected)


@given(token_arrays(1, min_length=2))
def test_explained_variance(arrays):
    returns, mask = arrays
    assert explained_variance(returns, returns, mask) == pytest.approx(1.0)
    assert explained_variance(returns + 3, returns, mask) == pytest.approx(1.0)
    assert explained_variance(torch.ones_like(returns), returns, mask) == pytest.approx(0.0, abs=1e-9)
    assert explained_variance(2 * returns, returns, mask) == pytest.approx(0.0, abs=1e-9)
    assert explained_variance(returns, torch.ones_like(returns), mask) == 0.0


def test_rows_of_a_batch_are_trimmed_to_their_longest():
    lengths_in, lengths_out = torch.tensor([3, 1, 2]), torch.tensor([1, 0, 4])
    prompt_mask = torch.arange(5) < lengths_in.unsqueeze(1)
    response_mask = torch.arange(6) < lengths_out.unsqueeze(1)
    batch = TokenBatch(torch.arange(15).view(3, 5), prompt_mask, torch.arange(18).view(3, 6), response_mask)
    part = batch.rows(torch.tensor([1, 0]))
    assert part.prompt_ids.tolist() == [[5, 6, 7], [0, 1, 2]]
    assert part.response_ids.tolist() == [[6], [0]]
    assert part.response_mask.tolist() == [[False], [True]]
    assert batch.rows(torch.tensor([1])).response_ids.shape == (1, 1)
    assert len(batch) == 3
    with pytest.raises(ValueError, match="one shape"):
        TokenBatch(batch.prompt_ids, batch.response_mask, batch.response_ids, batch.response_mask)
    with pytest.raises(ValueError, match="3 prompts but 2 responses"):
        TokenBatch(batch.prompt_ids, batch.prompt_mask, batch.response_ids[:2], batch.response_mask[:2])


# The baseline from other responses to the same prompt.


@given(st.integers(1, 4), st.integers(2, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_leave_one_out_takes_the_others_mean_from_the_last_token(prompts, per_prompt, width, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = prompts * per_prompt
    lengths = torch.randint(1, width + 1, (rows,), generator=generator)
    mask = torch.arange(width) < lengths.unsqueeze(1)
    rewards = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    result = leave_one_out(rewards, mask, per_prompt=per_prompt)
    for row in range(rows):
        first = row - row % per_prompt
        others = [rewards[r][mask[r]].sum() for r in range(first, first + per_prompt) if r != row]
        expected = torch.where(mask[row], rewards[row], 0.0)
        expected[lengths[row] - 1] -= sum(others) / len(others)
        torch.testing.assert_close(result[row], expected)
    # What all responses to a prompt share makes no difference, and what is taken away adds up to nothing new.
    shifted = rewards.clone()
    shifted[torch.arange(rows), lengths - 1] += torch.arange(prompts).repeat_interleave(per_prompt)
    torch.testing.assert_close(leave_one_out(shifted, mask, per_prompt=per_prompt), result)
    assert result.sum(1).view(prompts, per_prompt).sum(1).abs().max() < 1e-9


def test_leave_one_out_of_single_responses_changes_nothing_and_uneven_groups_are_refused():
    rewards, mask = torch.tensor([[1.0, 2.0], [3.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    assert leave_one_out(rewards, mask, per_prompt=1).tolist() == [[1.0, 2.0], [3.0, 0.0]]
    empty = torch.tensor([[False, False], [True, False]])
    assert leave_one_out(rewards, empty, per_prompt=2).tolist() == [[0.0, 0.0], [3.0, 0.0]]
    with pytest.raises(ValueError, match="2 responses cannot be cut into groups of 3"):
        leave_one_out(rewards, mask, per_prompt=3)
