"""PPO on batches of responses with one reward per token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from alarm.ppo import engine, processes
from alarm.ppo.advantages import gae, whiten
from alarm.ppo.batch import TokenBatch
from alarm.ppo.checkpoint import read_state, write_state
from alarm.ppo.experience import Experience, UpdateTotals
from alarm.ppo.kl import AdaptiveKLController, log_ratio, response_kl
from alarm.ppo.losses import explained_variance, masked_mean, masked_sum, policy_losses, value_losses
from alarm.ppo.processes import global_mean, global_sum
from alarm.settings import PPOSettings

if TYPE_CHECKING:
    from alarm.ppo.policy import Policy, TokenOutputs

EARLY_STOP_FACTOR = 1.5  # of early_stop_kl [released code]
ROUNDING = 1e-3
"""Nats per response: the policy's log-probabilities come from sampling and the reference's from one pass."""
NOT_RESUMED = ("iterations", "eval_every", "checkpoint_every", "max_prompt_tokens", "max_new_tokens")
"""Settings that another part of a run reads: a resumed trainer may have others."""


class NonFiniteError(ValueError):
    """A NaN or an infinity in a reward, a prediction, a loss or a gradient; the message names it and the remedy."""


class PPOTrainer:
    """Updates a policy by PPO; one `step` per batch of its own responses.

    Everything random (the order of rows, the value head's dropout) comes from `seed`. With `skip_first_token` the first
    generated token takes no part, its reward included, as in the released code of arXiv:2403.06754.

    Several processes (see `alarm.ppo.processes`) give `step` the same whole batch. Each passes its rows of every
    mini-batch through the network; losses and gradients are those of the whole mini-batch, and so are all decisions.
    The value head's dropout is drawn by each process for its rows: with it, numbers depend on the processes' number.
    """

    def __init__(self, policy: Policy, settings: PPOSettings, *, seed: int, skip_first_token: bool = False) -> None:
        for name in ("epochs", "mini_batch_size", "accumulation_steps"):
            if getattr(settings, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(settings, name)}")
        self.policy = policy
        self.settings = settings
        self.skip_first_token = skip_first_token
        self.iteration = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.kl_controller = AdaptiveKLController(
            settings.initial_kl_coef, target=settings.target_kl, horizon=settings.kl_horizon
        )
        head = list(policy.value_head.parameters())
        trunk = [p for p in policy.trainable_parameters() if not any(p is other for other in head)]
        value_rate = settings.learning_rate if settings.value_learning_rate is None else settings.value_learning_rate
        self.optimizer = torch.optim.Adam(
            [{"params": trunk, "lr": settings.learning_rate}, {"params": head, "lr": value_rate}], fused=True
        )
        self.learner = engine.prepare(policy, self.optimizer)
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def step(self, batch: TokenBatch, rewards: Tensor, predictions: TokenOutputs | None = None) -> dict[str, float]:
        """Learn from one batch of responses that the policy, as it is now, has sampled.

        Args:
            batch: B prompts and responses.
            rewards: [B, T], without KL penalty, which is added here; ignored where the response mask is False.
            predictions: what the policy said of the tokens when it drew them, each [B, T]; None: computed here.
        Returns:
            kl: mean over responses of the summed signed log-ratio to the reference, nats, before the update;
            kl_coef: the coefficient this batch was penalised with; negative_kl: 1 if kl is below 0 by more than
            rounding, else 0;
            entropy: mean per token, nats, before the update; explained_variance: of the returns by the old values;
            policy_loss, value_loss (unweighted), clip_fraction, ratio_mean: means over the tokens of all passes;
            approx_kl: the signed divergence from the sampling policy, nats per token, that early stopping reads;
            grad_norm: mean over optimiser steps, before clipping; epochs: passes made; skipped_mini_batches: how many
            the ratio guard left out; seconds_update: duration of the whole step.
        Raises:
            ValueError: rewards and responses differ in shape.
            NonFiniteError: a reward, prediction, loss or gradient is NaN or infinite. No optimiser step is made with
                it, but earlier ones of the same batch stay: go on from a checkpoint.
        """
        started = time.perf_counter()
        if rewards.shape != batch.response_mask.shape:
            raise ValueError(
                f"rewards {tuple(rewards.shape)} must have the responses' shape {tuple(batch.response_mask.shape)}"
            )
        self._warm_up()
        self._check("rewards", rewards, batch.response_mask, "check what the scorers return for these responses")
        batch = batch.rows(torch.arange(len(batch), device=rewards.device))
        rewards = rewards[:, : batch.response_mask.shape[1]].float()
        experience, metrics = self._experience(batch, rewards, predictions)
        with self._value_dropout():
            totals = self._update(experience)
        self.kl_controller.update(metrics["kl"], len(batch))
        self.iteration += 1
        return metrics | totals.metrics() | {"seconds_update": time.perf_counter() - started}

    def _warm_up(self) -> None:
        """Set the policy's learning rate for this iteration; the value head learns at its full rate from the start."""
        share = min(1.0, (self.iteration + 1) / (self.settings.warmup_iterations + 1))
        self.optimizer.param_groups[0]["lr"] = share * self.settings.learning_rate

    def _experience(
        self, batch: TokenBatch, rewards: Tensor, predictions: TokenOutputs | None
    ) -> tuple[Experience, dict[str, float]]:
        """Predictions before the update, dropout off, and the advantages of the penalised rewards."""
        mask = batch.response_mask.clone()
        if self.skip_first_token:
            mask[:, 0] = False
        reference_of = self.policy.reference_log_probs
        if predictions is None:
            found = self._pass_through(batch, lambda rows: (*self.policy(rows), reference_of(rows)), parts=4)
        else:
            own = (part[:, : mask.shape[1]] for part in predictions)
            found = (*own, *self._pass_through(batch, lambda rows: (reference_of(rows),), parts=1))
        log_probs, values, entropy, reference = found
        self._check("log-probabilities", log_probs, mask, self._divergence_remedy())
        self._check("values", values, mask, self._divergence_remedy())
        self._check("reference log-probabilities", reference, mask, "check the SFT checkpoint and its dtype")
        log_ratios = log_ratio(log_probs, reference)
        coefficient = self.kl_controller.coefficient
        advantages, returns = gae(
            rewards - coefficient * log_ratios,
            values,
            mask,
            gamma=self.settings.gamma,
            lam=self.settings.gae_lambda,
        )
        kl = response_kl(log_ratios, mask)
        metrics = {
            "kl": kl,
            "kl_coef": coefficient,
            "negative_kl": float(kl < -ROUNDING),
            "entropy": float(masked_mean(entropy, mask)),
            "explained_variance": explained_variance(values, returns, mask),
        }
        return Experience(batch, mask, log_probs, values, whiten(advantages, mask), returns), metrics

    @torch.no_grad()
    def _pass_through(
        self, batch: TokenBatch, predict: Callable[[TokenBatch], tuple[Tensor, ...]], *, parts: int
    ) -> tuple[Tensor, ...]:
        """The `parts` results of `predict`, each [B, T], for all rows; those of about one length are read together.

        Chunks have the size of mini-batches and keep the rows' order inside, so that a mini-batch that is the whole
        batch repeats exactly this computation and its first ratio is exactly 1.
        """
        shape, device = batch.response_mask.shape, batch.response_mask.device
        results = tuple(torch.zeros(shape, device=device) for _ in range(parts))
        lengths = batch.prompt_mask.sum(dim=1) + batch.response_mask.sum(dim=1)
        self.policy.eval()
        with engine.unsharded(self.policy):
            for index in lengths.argsort(stable=True).split(self.settings.mini_batch_size):
                mine = processes.shard(len(index))
                if not mine:
                    continue
                rows = index.sort().values[mine.start : mine.stop]
                for result, part in zip(results, predict(batch.rows(rows)), strict=True):
                    result[rows, : part.shape[1]] = part.float()
        return tuple(processes.global_sum(result) for result in results)

    def _update(self, experience: Experience) -> UpdateTotals:
        """Epochs over the batch in fresh orders, until the policy has moved too far."""
        totals = UpdateTotals()
        device = experience.mask.device
        for _ in range(self.settings.epochs):
            order = torch.randperm(len(experience.batch), generator=self.generator)
            mini_batches = order.split(self.settings.mini_batch_size)
            for first in range(0, len(mini_batches), self.settings.accumulation_steps):
                group = mini_batches[first : first + self.settings.accumulation_steps]
                self._optimizer_step([experience.rows(index.sort().values.to(device)) for index in group], totals)
            totals.epochs += 1
            if totals.approx_kl > EARLY_STOP_FACTOR * self.settings.early_stop_kl:
                break
        return totals

    def _optimizer_step(self, group: list[Experience], totals: UpdateTotals) -> None:
        """One step from a group of mini-batches, by the mean loss over all their tokens.

        The released code averages the mini-batches' means instead, which weighs tokens of short mini-batches more and
        makes the result depend on how the group is cut.
        """
        tokens = sum(int(part.mask.sum()) for part in group)
        self.optimizer.zero_grad()
        learned = [self._accumulate(part, tokens, totals) for part in group]
        if not any(learned):
            return
        limit = self.settings.max_grad_norm
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, float("inf") if limit is None else limit)
        norm = float(engine.whole(norm))
        self._check("gradient norm", torch.tensor(norm), None, self._divergence_remedy())
        totals.grad_norms.append(norm)
        self.optimizer.step()

    def _accumulate(self, part: Experience, tokens: int, totals: UpdateTotals) -> bool:
        """Add a mini-batch's share of the gradient of the mean over `tokens`; False if it was left out."""
        settings = self.settings
        count = int(part.mask.sum())
        if count == 0:
            return False
        part = part.shard()
        outputs = self.learner(part.batch, with_entropy=False)
        losses, ratios, clipped = policy_losses(
            outputs.log_probs, part.log_probs, part.advantages, clip_range=settings.clip_range
        )
        ratio = float(global_mean(ratios.detach(), part.mask))
        totals.approx_kl = float(global_mean(log_ratio(part.log_probs, outputs.log_probs.detach()), part.mask))
        if ratio > settings.max_ratio:
            totals.skipped += 1
            engine.shard_again(self.policy)
            return False
        value_part = value_losses(outputs.values, part.values, part.returns, clip_range=settings.value_clip_range)
        policy_loss, value_loss = masked_sum(losses, part.mask), masked_sum(value_part, part.mask)
        sums = {
            "policy_loss": global_sum(policy_loss.detach()),
            "value_loss": global_sum(value_loss.detach()),
            "clip_fraction": global_sum((clipped & part.mask).sum()),
        }
        self._check("policy loss", sums["policy_loss"], None, self._divergence_remedy())
        self._check("value loss", sums["value_loss"], None, self._divergence_remedy())
        # The processes' gradients are averaged: times their number, that is the gradient of the sum of their losses.
        loss = (policy_loss + settings.value_weight * value_loss) / tokens
        (loss * processes.count()).backward()
        totals.tokens += count
        for name, value in sums.items():
            totals.sums[name] += value.item()
        totals.sums["ratio_mean"] += ratio * count
        return True

    @contextmanager
    def _value_dropout(self) -> Iterator[None]:
        """Let the value head's dropout act, drawn from the trainer's seed; torch's own random state is left as it was.

        An adapter's dropout stays off: it would make the first ratio differ from 1.
        """
        device = self.parameters[0].device
        # Another one for each process, since equal seeds would drop the same places of different rows.
        seed = int(torch.randint(2**62, (), generator=self.generator)) + processes.index()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            self.policy.eval()
            self.policy.value_head.train()
            try:
                yield
            finally:
                self.policy.eval()

    def save(self, directory: str | Path) -> None:
        """Write all that a resumed run needs to `directory`: trained weights, optimiser, KL coefficient, generator.

        Frozen weights are not in it; the policy is rebuilt as it was at first. Several processes call this together and
        the main one writes; any number of them can load it.
        """
        state = {
            "settings": self._identity(),
            "iteration": self.iteration,
            "kl_coef": self.kl_controller.coefficient,
            "generator": self.generator.get_state(),
            "optimizer": engine.whole_state(self.optimizer),
            "parameters": [engine.whole(parameter.detach()).cpu() for parameter in self.parameters],
        }
        if processes.is_main():
            write_state(directory, state)

    def load(self, directory: str | Path) -> None:
        """Continue from what `save` wrote; the policy must have been built as it was for the saved trainer.

        Raises:
            ValueError: the file is missing or damaged, or belongs to other settings or another network.
        """
        shapes = [tuple(parameter.shape) for parameter in self.parameters]
        state = read_state(directory, settings=self._identity(), shapes=shapes)
        with torch.no_grad():
            for parameter, value in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(engine.placed_like(parameter, value))
        engine.load_state(self.optimizer, state["optimizer"])
        self.generator.set_state(state["generator"])
        self.kl_controller.coefficient = state["kl_coef"]
        self.iteration = state["iteration"]

    def _identity(self) -> dict[str, float | bool | None]:
        """The settings that decide what a step does."""
        settings = {name: value for name, value in asdict(self.settings).items() if name not in NOT_RESUMED}
        return settings | {"skip_first_token": self.skip_first_token}

    def _divergence_remedy(self) -> str:
        return (
            f"lower learning_rate (now {self.settings.learning_rate}), set max_grad_norm "
            f"(now {self.settings.max_grad_norm}) or use a wider dtype, and go on from the last checkpoint"
        )

    def _check(self, name: str, tensor: Tensor, mask: Tensor | None, remedy: str) -> None:
        """Raise `NonFiniteError` if `tensor` is NaN or infinite anywhere, or anywhere `mask` is True."""
        bad = ~torch.isfinite(tensor)
        if mask is not None:
            bad &= mask
        if not bool(bad.any()):
            return
        place = ""
        if tensor.ndim == 2:
            row, token = bad.nonzero()[0].tolist()
            place = f" in {int(bad.sum())} places, first in row {row} at token {token}"
        raise NonFiniteError(f"PPO iteration {self.iteration}: {name} not finite{place}; {remedy}")
