"""The PPO step on a policy that is a table: parity with a slow loop, invariance, guards, errors, resuming."""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from alarm.ppo.batch import TokenBatch
from alarm.ppo.trainer import NonFiniteError, PPOTrainer
from alarm.settings import PPOSettings

VOCABULARY, WIDTH, PROMPTS = 7, 5, 4
WHOLE = PPOSettings(batch_size=8, mini_batch_size=8, epochs=1, learning_rate=0.05, early_stop_kl=math.inf)
Outputs = namedtuple("Outputs", "log_probs values entropy")


class TablePolicy(nn.Module):
    """A distribution and hidden features per first prompt id and position: all that the trainer needs of a policy."""

    def __init__(self, seed: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.logits = nn.Parameter(torch.randn(PROMPTS, WIDTH, VOCABULARY, generator=generator))
        self.hidden = nn.Parameter(torch.randn(PROMPTS, WIDTH, 3, generator=generator))
        self.value_head = nn.Sequential(nn.Dropout(dropout), nn.Linear(3, 1))
        with torch.no_grad():
            for parameter in self.value_head.parameters():
                parameter.normal_(generator=generator)
        self.reference = torch.randn(PROMPTS, WIDTH, VOCABULARY, generator=generator)

    def trainable_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def _chosen(self, logits: Tensor, batch: TokenBatch) -> Tensor:
        width = batch.response_ids.shape[1]
        distribution = logits[batch.prompt_ids[:, 0], :width].log_softmax(-1)
        chosen = distribution.gather(2, batch.response_ids.unsqueeze(2)).squeeze(2)
        return torch.where(batch.response_mask, chosen, 0.0)

    def forward(self, batch: TokenBatch, *, with_entropy: bool = True) -> Outputs:
        hidden = self.hidden[batch.prompt_ids[:, 0], : batch.response_ids.shape[1]]
        values = torch.where(batch.response_mask, self.value_head(hidden).squeeze(-1), 0.0)
        log_probs = self._chosen(self.logits, batch)
        return Outputs(log_probs, values, torch.where(batch.response_mask, 1.0, 0.0))

    @torch.no_grad()
    def reference_log_probs(self, batch: TokenBatch) -> Tensor:
        return self._chosen(self.reference, batch)


def table_batch(seed: int = 0, lengths: tuple[int, ...] = (5, 1, 3, 0, 4, 2, 5, 3)) -> tuple[TokenBatch, Tensor]:
    """Responses to prompts of one or two tokens, and a reward on every real token."""
    generator = torch.Generator().manual_seed(seed)
    rows = len(lengths)
    prompt_mask = torch.arange(2) < torch.randint(1, 3, (rows, 1), generator=generator)
    response_mask = torch.arange(WIDTH) < torch.tensor(lengths).unsqueeze(1)
    batch = TokenBatch(
        prompt_ids=torch.randint(PROMPTS, (rows, 2), generator=generator) * prompt_mask,
        prompt_mask=prompt_mask,
        response_ids=torch.randint(VOCABULARY, (rows, WIDTH), generator=generator) * response_mask,
        response_mask=response_mask,
    )
    return batch, torch.randn(rows, WIDTH, generator=generator) * response_mask


def weights(policy: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.trainable_parameters()]).clone()


def after(settings: PPOSettings, batch: TokenBatch, rewards: Tensor, *, steps: int = 1, **options) -> Tensor:
    """The table policy's weights after `steps` steps on the same batch."""
    policy = TablePolicy()
    ppo = PPOTrainer(policy, settings, seed=0, **options)
    for _ in range(steps):
        ppo.step(batch, rewards)
    return weights(policy)


def slow_loss(policy: TablePolicy, before: TablePolicy, batch: TokenBatch, rewards: Tensor, kl_coef: float) -> Tensor:
    """PPO's loss written out token by token, advantages by their defining sum; `before` sampled the responses."""
    lam, clip, value_clip, value_weight = 0.95, 0.2, 0.2, 0.1
    with torch.no_grad():
        old = before(batch)
    new = policy(batch)
    penalised = rewards - kl_coef * (old.log_probs - policy.reference_log_probs(batch))
    advantages, terms = {}, []
    places = batch.response_mask.nonzero().tolist()
    for row, t in places:
        end = int(batch.response_mask[row].sum())
        value = [float(v) for v in old.values[row, :end]] + [0.0]
        advantages[row, t] = sum(
            lam ** (k - t) * (float(penalised[row, k]) + value[k + 1] - value[k]) for k in range(t, end)
        )
    mean = sum(advantages.values()) / len(places)
    variance = sum((a - mean) ** 2 for a in advantages.values()) / (len(places) - 1)
    for row, t in places:
        whitened = (advantages[row, t] - mean) / math.sqrt(variance + 1e-8)
        target, before_value = advantages[row, t] + float(old.values[row, t]), float(old.values[row, t])
        ratio = torch.exp(new.log_probs[row, t] - float(old.log_probs[row, t]))
        policy_term = torch.max(-whitened * ratio, -whitened * ratio.clamp(1 - clip, 1 + clip))
        value = new.values[row, t]
        near = value.clamp(before_value - value_clip, before_value + value_clip)
        terms.append(policy_term + value_weight * 0.5 * torch.max((value - target) ** 2, (near - target) ** 2))
    return sum(terms) / len(places)


def test_steps_equal_a_slow_loop():
    batch, rewards = table_batch()
    settings = replace(WHOLE, epochs=3)
    slow, before = TablePolicy(), TablePolicy()
    optimizer = torch.optim.Adam(slow.parameters(), lr=settings.learning_rate)
    for _ in range(settings.epochs):
        optimizer.zero_grad()
        slow_loss(slow, before, batch, rewards, kl_coef=0.2).backward()
        optimizer.step()
    torch.testing.assert_close(after(settings, batch, rewards), weights(slow), rtol=1e-4, atol=1e-5)


def test_predictions_of_the_rollout_take_the_place_of_a_pass_of_its_own():
    batch, rewards = table_batch()
    settings = replace(WHOLE, epochs=2, mini_batch_size=3)

    def learned(shift: float | None) -> Tensor:
        policy = TablePolicy()
        with torch.no_grad():
            kept = Outputs(*(part + (shift or 0.0) for part in policy(batch)))
        PPOTrainer(policy, settings, seed=0).step(batch, rewards, None if shift is None else kept)
        return weights(policy)

    torch.testing.assert_close(learned(0.0), learned(None), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(learned(0.1), learned(None), atol=1e-3), "they are not read"


def test_metrics_of_a_first_step():
    batch, rewards = table_batch()
    policy = TablePolicy()
    with torch.no_grad():
        ratios = policy(batch).log_probs - policy.reference_log_probs(batch)
    loss = slow_loss(policy, policy, batch, rewards, kl_coef=0.2)
    loss.backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in policy.parameters()))
    policy.zero_grad()
    metrics = PPOTrainer(policy, WHOLE, seed=0).step(batch, rewards)
    assert metrics["kl"] == pytest.approx(float(ratios.sum()) / 8, abs=1e-6)
    assert metrics["negative_kl"] == (metrics["kl"] < 0)
    assert metrics["policy_loss"] + 0.1 * metrics["value_loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert (metrics["ratio_mean"], metrics["clip_fraction"], metrics["approx_kl"]) == (1.0, 0.0, 0.0)
    assert (metrics["epochs"], metrics["skipped_mini_batches"], metrics["entropy"]) == (1, 0, 1.0)
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_coefficient_is_adapted_after_its_use():
    batch, rewards = table_batch()
    ppo = PPOTrainer(TablePolicy(), replace(WHOLE, kl_horizon=100), seed=0)
    first, second = ppo.step(batch, rewards), ppo.step(batch, rewards)
    error = min(max(first["kl"] / 6 - 1, -0.2), 0.2)
    assert first["kl_coef"] == 0.2
    assert second["kl_coef"] == pytest.approx(0.2 * (1 + error * 8 / 100))


def test_rounding_is_no_negative_divergence():
    batch, rewards = table_batch()
    policy = TablePolicy()
    for shift, flag in ((-1e-6, 0.0), (-0.01, 1.0)):
        policy.reference = policy.logits.detach().clone()
        kept = Outputs(*(part + shift * batch.response_mask for part in policy(batch)))
        metrics = PPOTrainer(policy, replace(WHOLE, epochs=1), seed=0).step(
            batch, rewards, Outputs(*(part.detach() for part in kept))
        )
        assert metrics["kl"] < 0 and metrics["negative_kl"] == flag


def test_a_negative_divergence_is_flagged():
    policy = TablePolicy()
    batch, rewards = table_batch()
    policy.reference = policy.logits.detach().clone()
    # The reference likes what was sampled better than the policy does: the log-ratio is below 0 everywhere.
    for prompt in range(PROMPTS):
        for t in range(WIDTH):
            policy.reference[prompt, t, batch.response_ids[batch.prompt_ids[:, 0] == prompt, t].unique()] += 3.0
    metrics = PPOTrainer(policy, WHOLE, seed=0).step(batch, rewards)
    assert metrics["kl"] < 0
    assert metrics["negative_kl"] == 1.0


@pytest.mark.parametrize(("mini_batch_size", "accumulation_steps"), [(1, 8), (2, 4), (3, 3), (4, 2)])
def test_accumulation_gives_the_whole_batch_step(mini_batch_size, accumulation_steps):
    batch, rewards = table_batch()
    cut = replace(WHOLE, mini_batch_size=mini_batch_size, accumulation_steps=accumulation_steps, epochs=2)
    torch.testing.assert_close(
        after(cut, batch, rewards), after(replace(WHOLE, epochs=2), batch, rewards), rtol=1e-4, atol=1e-5
    )


def test_mini_batches_without_accumulation_take_several_optimiser_steps():
    batch, rewards = table_batch()
    cut = after(replace(WHOLE, mini_batch_size=4), batch, rewards)
    assert not torch.allclose(cut, after(WHOLE, batch, rewards), atol=1e-3)


def test_padding_changes_nothing():
    batch, rewards = table_batch()
    wide = TokenBatch(
        *(nn.functional.pad(ids, (0, 3)) for ids in (batch.prompt_ids, batch.prompt_mask)),
        *(nn.functional.pad(ids, (0, 4)) for ids in (batch.response_ids, batch.response_mask)),
    )
    dirty = torch.where(wide.response_mask, nn.functional.pad(rewards, (0, 4)), math.nan)
    settings = replace(WHOLE, mini_batch_size=3, epochs=2)
    assert torch.equal(after(settings, batch, rewards, steps=2), after(settings, wide, dirty, steps=2))


def test_the_order_of_rows_changes_nothing():
    batch, rewards = table_batch()
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    torch.testing.assert_close(
        after(WHOLE, batch.rows(order), rewards[order]), after(WHOLE, batch, rewards), rtol=1e-4, atol=1e-5
    )


def test_rows_without_tokens_and_batches_without_tokens():
    batch, rewards = table_batch(lengths=(0, 0, 0))
    policy = TablePolicy()
    before = weights(policy)
    metrics = PPOTrainer(policy, WHOLE, seed=0).step(batch, rewards)
    assert torch.equal(before, weights(policy))
    assert all(math.isfinite(value) for value in metrics.values())
    with_empty, some = table_batch(lengths=(3, 0, 2, 0))
    keep = torch.tensor([0, 2])
    # The penalty's coefficient is equal in a first step, so rows without tokens change no weight.
    torch.testing.assert_close(after(WHOLE, with_empty, some), after(WHOLE, with_empty.rows(keep), some[keep, :3]))


def test_skipping_the_first_token_leaves_it_out_entirely():
    batch, rewards = table_batch()
    changed = rewards.clone()
    changed[:, 0] += 100.0
    skipped = after(WHOLE, batch, rewards, skip_first_token=True)
    assert torch.equal(skipped, after(WHOLE, batch, changed, skip_first_token=True))
    assert not torch.allclose(skipped, after(WHOLE, batch, rewards), atol=1e-3)
    policy = TablePolicy()
    before = policy.logits.detach().clone()
    PPOTrainer(policy, WHOLE, seed=0, skip_first_token=True).step(batch, rewards)
    assert torch.equal(policy.logits[:, 0], before[:, 0])
    assert not torch.equal(policy.logits[:, 1], before[:, 1])


def test_epochs_end_early_when_the_policy_has_moved():
    batch, rewards = table_batch(1)

    def step(epochs: int, limit: float) -> dict[str, float]:
        settings = replace(WHOLE, epochs=epochs, early_stop_kl=limit, learning_rate=0.5)
        return PPOTrainer(TablePolicy(), settings, seed=0).step(batch, rewards)

    moved = step(2, math.inf)["approx_kl"]
    assert moved > 0  # the first pass is made at the sampling policy, so its divergence is 0
    assert step(4, math.inf)["epochs"] == 4
    assert step(4, 0.99 * moved / 1.5)["epochs"] == 2
    assert step(4, 1.01 * moved / 1.5)["epochs"] > 2


def test_a_mini_batch_of_too_large_ratio_is_skipped():
    batch, rewards = table_batch()
    policy = TablePolicy()
    before = weights(policy)
    metrics = PPOTrainer(policy, replace(WHOLE, max_ratio=0.5, epochs=2), seed=0).step(batch, rewards)
    assert metrics["skipped_mini_batches"] == 2
    assert torch.equal(before, weights(policy))


def test_gradients_are_clipped_if_asked(monkeypatch):
    batch, rewards = table_batch()
    norms = []
    monkeypatch.setattr(
        torch.optim.Adam,
        "step",
        lambda self: norms.append(
            math.sqrt(sum(float(p.grad.square().sum()) for group in self.param_groups for p in group["params"]))
        ),
    )
    free = PPOTrainer(TablePolicy(), WHOLE, seed=0).step(batch, rewards)
    limited = PPOTrainer(TablePolicy(), replace(WHOLE, max_grad_norm=0.01), seed=0).step(batch, rewards)
    assert norms == pytest.approx([free["grad_norm"], 0.01], rel=1e-3)
    assert limited["grad_norm"] == pytest.approx(free["grad_norm"])


def test_the_value_head_can_have_a_rate_of_its_own():
    batch, rewards = table_batch()

    def moved(**rates: float) -> tuple[float, float]:
        policy = TablePolicy()
        before = policy.logits.detach().clone(), policy.value_head[1].weight.detach().clone()
        PPOTrainer(policy, replace(WHOLE, **rates), seed=0).step(batch, rewards)
        return tuple(float((a - b).abs().max()) for a, b in zip(policy_parts(policy), before, strict=True))

    def policy_parts(policy: TablePolicy) -> tuple[Tensor, Tensor]:
        return policy.logits.detach(), policy.value_head[1].weight.detach()

    # Adam's first step moves every weight by the learning rate.
    assert moved() == pytest.approx((0.05, 0.05), rel=1e-3)
    assert moved(value_learning_rate=0.2) == pytest.approx((0.05, 0.2), rel=1e-3)
    assert moved(value_learning_rate=0.2, warmup_iterations=4) == pytest.approx((0.01, 0.2), rel=1e-3)
    assert moved(value_learning_rate=0.0)[1] == 0.0


def test_the_policy_s_rate_warms_up_once_and_a_resumed_run_goes_on_with_it(tmp_path):
    batch, rewards = table_batch()
    settings = replace(WHOLE, warmup_iterations=3)
    ppo, rates = PPOTrainer(TablePolicy(), settings, seed=0), []
    for _ in range(5):
        ppo.step(batch, rewards)
        rates.append(ppo.optimizer.param_groups[0]["lr"])
        if ppo.iteration == 2:
            ppo.save(tmp_path)
    assert rates == pytest.approx([0.0125, 0.025, 0.0375, 0.05, 0.05])
    resumed = PPOTrainer(TablePolicy(), settings, seed=0)
    resumed.load(tmp_path)
    for _ in range(3):
        resumed.step(batch, rewards)
    assert torch.equal(weights(resumed.policy), weights(ppo.policy))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_stops_before_any_update(value):
    batch, rewards = table_batch()
    policy = TablePolicy()
    ppo = PPOTrainer(policy, WHOLE, seed=0)
    ppo.step(batch, rewards)
    before = weights(policy)
    rewards[4, 2] = value
    with pytest.raises(NonFiniteError, match=r"iteration 1: rewards not finite in 1 places, first in row 4 at token 2"):
        ppo.step(batch, rewards)
    assert torch.equal(before, weights(policy))


def test_predictions_losses_and_gradients_that_are_not_finite_are_named():
    batch, rewards = table_batch()
    broken = TablePolicy()
    with torch.no_grad():
        broken.logits.fill_(math.nan)
    with pytest.raises(NonFiniteError, match=r"iteration 0: log-probabilities not finite .* lower learning_rate"):
        PPOTrainer(broken, WHOLE, seed=0).step(batch, rewards)
    with pytest.raises(NonFiniteError, match="value loss not finite"):
        PPOTrainer(TablePolicy(), WHOLE, seed=0).step(batch, rewards * 1e30)
    policy = TablePolicy()
    policy.hidden.register_hook(lambda gradient: gradient * math.nan)
    before = weights(policy)
    with pytest.raises(NonFiniteError, match="gradient norm not finite"):
        PPOTrainer(policy, WHOLE, seed=0).step(batch, rewards)
    assert torch.equal(before, weights(policy))


def test_wrong_input_is_refused():
    batch, rewards = table_batch()
    with pytest.raises(ValueError, match=r"rewards \(8, 4\) must have the responses' shape \(8, 5\)"):
        PPOTrainer(TablePolicy(), WHOLE, seed=0).step(batch, rewards[:, :4])
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        PPOTrainer(TablePolicy(), replace(WHOLE, epochs=0), seed=0)


def without_time(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "seconds_update"}


def test_same_seed_same_numbers_whatever_torch_has_drawn_before():
    batch, rewards = table_batch()
    settings = replace(WHOLE, mini_batch_size=3, epochs=2)
    results = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        policy = TablePolicy(dropout=0.5)
        torch.set_rng_state(state)
        metrics = PPOTrainer(policy, settings, seed=0).step(batch, rewards)
        assert torch.equal(torch.get_rng_state(), state)
        results.append((weights(policy), without_time(metrics)))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    other = TablePolicy(dropout=0.5)
    PPOTrainer(other, settings, seed=1).step(batch, rewards)
    assert not torch.equal(weights(other), results[0][0])


def test_a_resumed_run_is_the_unbroken_one(tmp_path):
    batches = [table_batch(seed) for seed in range(4)]
    settings = replace(WHOLE, mini_batch_size=3, epochs=2, kl_horizon=100)
    unbroken = PPOTrainer(TablePolicy(dropout=0.5), settings, seed=0)
    expected = []
    for i, (batch, rewards) in enumerate(batches):
        if i == 2:
            unbroken.save(tmp_path / "checkpoint")
        expected.append(without_time(unbroken.step(batch, rewards)))
    resumed = PPOTrainer(TablePolicy(dropout=0.5), replace(settings, iterations=99), seed=5)
    resumed.load(tmp_path / "checkpoint")
    assert resumed.iteration == 2
    assert [without_time(resumed.step(*batch)) for batch in batches[2:]] == expected[2:]
    assert torch.equal(weights(resumed.policy), weights(unbroken.policy))


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    PPOTrainer(TablePolicy(), WHOLE, seed=0).save(tmp_path)
    with pytest.raises(ValueError, match=r"written with learning_rate 0.05, not 0.1"):
        PPOTrainer(TablePolicy(), replace(WHOLE, learning_rate=0.1), seed=0).load(tmp_path)
    other = TablePolicy()
    other.hidden = nn.Parameter(torch.zeros(PROMPTS, WIDTH, 4))
    with pytest.raises(ValueError, match="weights of another network"):
        PPOTrainer(other, WHOLE, seed=0).load(tmp_path)
    with pytest.raises(ValueError, match="no such checkpoint"):
        PPOTrainer(TablePolicy(), WHOLE, seed=0).load(tmp_path / "elsewhere")
    (tmp_path / "trainer.pt").write_bytes((tmp_path / "trainer.pt").read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read"):
        PPOTrainer(TablePolicy(), WHOLE, seed=0).load(tmp_path)
