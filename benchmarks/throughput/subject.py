"""A workload that runs: policy, scorers and PPO with random weights, cut into the phases that are measured."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alarm.experiment.constants import Constants
from alarm.experiment.rewards import RewardFunction, Rewards
from alarm.memory import Memory, policy_memory, scorer_memory
from alarm.methods import ALARM
from alarm.ppo.advantages import leave_one_out
from alarm.ppo.rollout import Rollout, rollout
from alarm.ppo.trainer import PPOTrainer
from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.ensemble import train_ensemble
from alarm.reward_modeling.meta import meta_update
from alarm.reward_modeling.preferences import fit_preferences
from alarm.scorers.base import Score, Scorer
from alarm.scorers.confidence import ConfidenceScorer
from alarm.scorers.external import BATCH_SIZE
from alarm.scorers.grammar import GrammarScorer
from alarm.scorers.length import LengthScorer
from alarm.scorers.readability import ReadabilityScorer
from alarm.scorers.reader import Reader
from alarm.scorers.text_scorer import TextScorer
from alarm.tasks.worlds.caption_grammar import english
from alarm.tasks.worlds.captions import random_scene
from benchmarks.throughput.meter import Cost, count_cost
from benchmarks.throughput.networks import (
    RandomUltraRM,
    make_policy,
    make_reader,
    make_readers,
    reward_model_dtype,
)
from benchmarks.throughput.vocabulary import question_prompts, texts
from benchmarks.throughput.workloads import Workload

QUESTION_WORDS = 32
SAMPLES = 4
"""Responses that MetaRM spreads, per prompt."""
TOOLS = {"grammar": "harper", "confidence": "lingua", "readability": "textstat"}
"""The packages behind scorers of text."""
TEXT_SCORERS: dict[str, type[TextScorer]] = {
    "grammar": GrammarScorer,
    "confidence": ConfidenceScorer,
    "readability": ReadabilityScorer,
    "length": LengthScorer,
}


class Subject:
    """What is measured of one workload on one device. Networks are made when they are first needed."""

    def __init__(self, workload: Workload, device: str, shared: dict[object, Scorer]) -> None:
        """`shared` keeps what several workloads have in common, such as a reward model of 13 billion weights."""
        self.workload = workload
        self.device = device
        self._shared = shared
        self._costs: dict[str, Cost] = {}
        self._folder = tempfile.TemporaryDirectory()

    def close(self) -> None:
        self._folder.cleanup()

    @cached_property
    def trainer(self) -> PPOTrainer:
        return PPOTrainer(make_policy(self.workload, self.device), self.workload.ppo, seed=0)

    @cached_property
    def generator(self) -> torch.Generator:
        """Goes on from round to round: the same samples again would be found in the text scorers' memory."""
        return torch.Generator(self.device).manual_seed(0)

    @cached_property
    def prompts(self) -> list[str]:
        """As many as responses; those of one prompt stand together."""
        ppo = self.workload.ppo
        distinct = self._prompts(ppo.batch_size // ppo.responses_per_prompt, seed=1)
        return [prompt for prompt in distinct for _ in range(ppo.responses_per_prompt)]

    def _prompts(self, count: int, *, seed: int) -> list[str]:
        # The tokenizer adds an end token.
        plain = texts(count, self.workload.ppo.max_prompt_tokens - 1, vocabulary_size=self._vocabulary, seed=seed)
        return question_prompts(plain, question_words=QUESTION_WORDS) if self.workload.task == "long_form_qa" else plain

    @property
    def _vocabulary(self) -> int:
        network = self.workload.network
        return self.workload.policy.vocabulary_size if network is None else network.vocab_size

    def responses(self, count: int, *, seed: int) -> list[str]:
        """Texts as long as responses, sentences among them."""
        return texts(count, self.workload.ppo.max_new_tokens, vocabulary_size=self._vocabulary, seed=seed)

    def captions(self, *, seed: int) -> list[str]:
        """As many English texts as the batch has responses, about as long, for scorers that look words up."""
        draw = np.random.default_rng(seed)
        found: list[str] = []
        for _ in range(self.workload.ppo.batch_size):
            words: list[str] = []
            while len(words) < self.workload.ppo.max_new_tokens:
                words += english(random_scene(draw)).split()
            found.append(" ".join(words))
        return found

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """Those of the workload, by name."""
        workload = self.workload
        found = make_readers(workload, self.trainer.policy.config, Path(self._folder.name), self.device)
        if workload.holistic is not None:
            key = repr(workload.holistic.to_dict())
            if key not in self._shared:
                limit = workload.holistic.max_position_embeddings
                self._shared[key] = RandomUltraRM(workload.holistic, device=self.device, max_tokens=limit)
            found["holistic"] = self._shared[key]
        found |= {name: make() for name, make in TEXT_SCORERS.items() if name in workload.scorers}
        return {name: found[name] for name in workload.scorers}

    @cached_property
    def memory(self) -> Memory:
        """What `alarm.memory` computes that the policy needs."""
        config = copy.deepcopy(self.trainer.policy.config)
        if not config.is_encoder_decoder:
            config.pad_token_id = None  # GPT-2 would look for padding, and `meta` has no values
        return policy_memory(config, self.workload.policy, self.workload.ppo)

    @cached_property
    def scoring_bytes(self) -> int | None:
        """What it computes that scoring by a ready-made holistic model needs; None without one."""
        workload, ppo = self.workload, self.workload.ppo
        if workload.holistic is None:
            return None
        tokens = ppo.max_prompt_tokens + ppo.max_new_tokens
        dtype = str(reward_model_dtype(self.device)).removeprefix("torch.")
        needed = scorer_memory(workload.holistic, dtype=dtype, batch_size=BATCH_SIZE, tokens=tokens)
        return needed.phases["scoring"]

    def cost(self, phase: str, run: Callable[[], object]) -> Cost:
        """What a phase takes, counted once."""
        if phase not in self._costs:
            self._costs[phase] = count_cost(run)
        return self._costs[phase]

    def roll(self) -> Rollout:
        ppo = self.workload.ppo
        return rollout(
            self.trainer.policy,
            self.prompts,
            max_prompt_tokens=ppo.max_prompt_tokens,
            max_new_tokens=ppo.max_new_tokens,
            generator=self.generator,
            keep_predictions=True,
        )

    def score(self, name: str, responses: Sequence[str]) -> list[Score]:
        return self.scorers[name].score(self.prompts, responses)

    def compose(self, drawn: Rollout, scores: Mapping[str, list[Score]]) -> Rewards:
        """ALaRM's per-token rewards from scores that are there."""
        holistic, aspect = (Replay(self.scorers[n], scores[n]) for n in ("holistic", self.workload.aspect))
        constants = {name: Constants(0.0, 1.0, 1) for name in scores}
        rewards_of = RewardFunction(ALARM, self.workload.reward, holistic, aspect, constants)
        return rewards_of(self.prompts, drawn.responses, drawn.offsets, drawn.batch.response_mask.cpu())

    @cached_property
    def batch(self) -> tuple[Rollout, dict[str, list[Score]]]:
        """Responses of the policy with the scores of PPO's rewards, to compose and to learn from."""
        drawn = self.roll()
        return drawn, {name: self.score(name, drawn.responses) for name in ("holistic", self.workload.aspect)}

    def update(self, drawn: Rollout, per_token: Tensor) -> dict[str, float]:
        per_token = per_token.to(self.trainer.policy.device)
        centred = leave_one_out(per_token, drawn.batch.response_mask, per_prompt=self.workload.ppo.responses_per_prompt)
        return self.trainer.step(drawn.batch, centred, drawn.predictions)

    def iterate(self, lap: Callable[[str], None]) -> dict[str, float]:
        """One iteration of PPO as runs make it; `lap` is called at the end of every phase with its name."""
        drawn = self.roll()
        lap("rollout")
        scores = {name: self.score(name, drawn.responses) for name in ("holistic", self.workload.aspect)}
        lap("scoring")
        rewards = self.compose(drawn, scores)
        lap("composition")
        report = self.update(drawn, rewards.per_token)
        lap("update")
        return report | {"sampled_tokens": int(drawn.lengths.sum())}

    @cached_property
    def reward_model_kind(self) -> str:
        """Of the sequence score that is trained: at `paper` the holistic one is ready-made."""
        return "completeness" if self.workload.aspects else "holistic"

    def make_reader(self, seed: int = 0) -> Reader:
        config = self.trainer.policy.config
        return make_reader(self.workload, self.reward_model_kind, config, device=self.device, seed=seed)

    @cached_property
    def pairs(self) -> list[Comparison]:
        """Comparisons of the workload's lengths, two to a prompt."""
        count = self.workload.training.pairs
        prompts = self._prompts(count // 2, seed=2)
        chosen, rejected = self.responses(count, seed=3), self.responses(count, seed=4)
        return [Comparison(prompts[i // 2], chosen[i], rejected[i]) for i in range(count)]

    def train(self, reader: Reader, on_step: Callable[[int, int, float], None] | None = None) -> list[float]:
        """So many steps of a reward model's training as the workload says."""
        settings = self.workload.training.settings
        return fit_preferences(reader, self.pairs, settings=settings, device=self.device, on_step=on_step)

    def measure_strength(self) -> None:
        training = self.workload.training
        train_ensemble(
            self.pairs,
            self.make_reader,
            settings=training.settings,
            recipes=training.recipes,
            cross_fitted=True,
            device=self.device,
        )

    def adapt(self, reader: Reader) -> dict[str, float]:
        """MetaRM's steps on samples for as many prompts as one step spreads."""
        training = self.workload.training
        count = training.recipes.meta_prompts
        answers = self.responses(count * SAMPLES, seed=6)
        prompts = self._prompts(count, seed=5)
        samples = [(prompt, answers[SAMPLES * i : SAMPLES * (i + 1)]) for i, prompt in enumerate(prompts)]
        recipes = replace(training.recipes, meta_ascent_rate=1e-6, meta_learning_rate=1e-6)
        return meta_update(
            reader,
            self.pairs,
            samples,
            settings=training.settings,
            recipes=recipes,
            seed=0,
            device=self.device,
        )


class Replay(Scorer):
    """Says again what another scorer said, so that what is done with scores is measured alone."""

    def __init__(self, scorer: Scorer, scores: list[Score]) -> None:
        self.name, self.placement, self.scores = scorer.name, scorer.placement, scores
        self.normalize, self.scale = scorer.normalize, scorer.scale

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        return self.scores
