"""One run: PPO with one method's rewards from the shared SFT policy, then greedy test responses and their scores."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alarm.experiment.code import RUN_CODE
from alarm.experiment.generation import Sample, generate, read_samples, write_samples
from alarm.experiment.lab import Lab
from alarm.experiment.matrix import RunSpec
from alarm.experiment.phases import Clock, StoppedError, stopping
from alarm.experiment.reference_levels import reference_levels
from alarm.experiment.rewards import RewardFunction
from alarm.experiment.rounds import RoundRewardModel, round_ends
from alarm.experiment.run_record import run_record
from alarm.experiment.scoring import score_generations, score_means
from alarm.experiment.sharded_scorer import in_shards
from alarm.files import read_json, write_json
from alarm.methods import Method, method_named, method_source
from alarm.ppo import engine, processes
from alarm.ppo.advantages import leave_one_out
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.trainer import PPOTrainer
from alarm.records import Generation, RunRecord, read_records, records_folder, write_record
from alarm.tasks.base import Example

STATE = "state.json"
CHECKPOINT = "checkpoint"
REWARD_MODEL = "reward_model"
FINAL_SAMPLES = "final_samples.jsonl"
POLICY = "policy"


class Run:
    """One method on one task with one seed. Interrupted runs resume from their last checkpoint.

    Several processes (see `alarm.ppo.processes`) make a run together; what is not said to be the main one's, all do.
    """

    def __init__(self, lab: Lab, spec: RunSpec) -> None:
        """Raises `ValueError` if the method asks for an aspect that the task lacks, or batches cannot be cut evenly."""
        self.lab = lab
        self.spec = spec
        self.method: Method = method_named(spec.method)
        self.settings = replace(lab.preset.ppo, **self.method.ppo)
        selected = lab.selection["selected"]
        self.aspect = spec.aspect or self.method.aspect or selected
        self.aspect_given = self.aspect != selected
        if self.settings.batch_size % self.settings.responses_per_prompt:
            raise ValueError(
                f"batch_size {self.settings.batch_size} is no multiple of the {self.settings.responses_per_prompt} "
                "responses per prompt; change one of the two"
            )
        if self.aspect not in lab.scorers:
            raise ValueError(
                f"method {spec.method} asks for aspect {self.aspect!r}, which task {spec.task} lacks; "
                f"known: {', '.join(lab.scorers)}"
            )

    def prepare(self) -> None:
        """Build all that the run shares with others, so that only the run itself is left to do."""
        model = RoundRewardModel(self.lab, self.method.recipe, seed=self.spec.seed)
        self._rewards(model)
        shared = ["reference_golds", "sft_dev_golds", "sft_test_generations", "sft_test_samples"]
        for name in shared + ["preferences"] * model.iterative:
            getattr(self.lab, name)

    def record(self) -> RunRecord:
        """Run it, or take it from the store; returns its record with the path of the stored file."""
        return read_records(records_folder(self._artifact(), self.lab.preset.scale))[0]

    def final_samples(self) -> list[Sample]:
        """Samples of the trained policy on the dev prompts of the last round's diagnostics; none if the run failed."""
        file = self._artifact() / FINAL_SAMPLES
        return read_samples(file) if file.is_file() else []

    def policy_directory(self) -> Path:
        """The trained policy with its tokenizer, a folder that any Hugging Face program can load.

        Raises:
            ValueError: the run failed, and so left no policy.
        """
        folder = self._artifact() / POLICY
        if not folder.is_dir():
            raise ValueError(f"the run of {self.spec} failed and left no policy; its record says why")
        return folder

    def _artifact(self) -> Path:
        concerns = (
            "policy",
            "sft",
            "reward_models",
            "aspect_training",
            "recipes",
            "references",
            "reward",
            "ppo",
            "evaluation",
        )
        inputs = self.lab.inputs(*concerns) | {
            "method": self.method.name,
            "source": method_source(self.method),
            "recipe": self.method.recipe,
            "properties": self.method.properties,
            "transform": getattr(self.method.transform, "__qualname__", None),
            "released_defects": self.method.released_defects,
            "method_ppo": dict(self.method.ppo),
            "aspect": self.aspect,
            "seed": self.spec.seed,
        }
        return self.lab.artifact("run", RUN_CODE, inputs, self._build)

    def _build(self, path: Path) -> None:
        """Train, evaluate and write the record below `path`, which keeps checkpoints while the run is unfinished."""
        work = path / CHECKPOINT
        started = datetime.now(UTC).isoformat(timespec="seconds")
        clock = Clock()
        self.lab.progress.start(f"{self.spec.task} {self.spec.name} seed {self.spec.seed}")
        policy = self._policy(self.lab.device)
        trainer = PPOTrainer(policy, self.settings, seed=self.spec.seed, skip_first_token=self.method.released_defects)
        model = RoundRewardModel(self.lab, self.method.recipe, seed=self.spec.seed)
        history: list[dict[str, Any]] = []
        if (work / STATE).is_file():
            state = read_json(work / STATE)
            trainer.load(work / state["weights"])
            model.load(work / state["weights"] / REWARD_MODEL)
            history, started = state["history"], state["started"]
            clock.seconds.update(state["seconds"])
        error = None
        try:
            self._train(trainer, model, history, clock, path, started)
        except StoppedError as problem:
            error = f"iteration {len(history)}: {problem}"
        tested, metrics = self._test(policy, clock) if error is None else (([], []), {})
        if error is None:
            self._save(policy, path / POLICY)
        if processes.is_main():
            record = run_record(self, history, metrics, dict(clock.seconds), started=started, error=error)
            write_record(path, record, *tested)
            _remove(work)

    def _policy(self, device: str) -> Policy:
        """The SFT policy, as PPO begins with it."""
        return Policy.load(
            self.lab.policy_directory,
            self.lab.preset.policy,
            seed=self.spec.seed,
            value_dropout=self.settings.value_dropout,
            device=device,
        )

    def _save(self, policy: Policy, folder: Path) -> None:
        if processes.count() > 1:
            # A sharded network cannot save itself.
            weights, policy = engine.whole_weights(policy), self._policy("cpu")
            policy.load_state_dict(weights)
        if processes.is_main():
            policy.save(folder)

    def _train(
        self,
        trainer: PPOTrainer,
        model: RoundRewardModel,
        history: list[dict[str, Any]],
        clock: Clock,
        path: Path,
        started: str,
    ) -> None:
        rewards_of = self._rewards(model)
        ends = round_ends(self.settings.iterations, self.lab.preset.recipes.rounds)
        for iteration in range(len(history), self.settings.iterations):
            row = {"iteration": iteration} | self._iteration(trainer, rewards_of, clock, iteration)
            done = iteration + 1
            last = done == self.settings.iterations
            if done % self.settings.eval_every == 0 or done in ends:
                with clock("evaluation"):
                    row["dev_golds"] = self._dev_golds(trainer.policy)
                    row["dev_gold"] = float(np.mean(row["dev_golds"]))
            if done in ends:
                with clock("rounds"), stopping():
                    row |= self._end_round(trainer.policy, model, ends.index(done) + 1, path)
                    if model.iterative and not last:
                        row |= model.update(trainer.policy, row["round"])
                        rewards_of = self._rewards(model)
            history.append(row)
            self.lab.progress.step(done, self.settings.iterations, reward=row["reward"], KL=row["kl"], gold=row["gold"])
            if done % self.settings.checkpoint_every == 0 and not last:
                self._checkpoint(trainer, model, history, clock, path / CHECKPOINT, started)

    def _iteration(
        self, trainer: PPOTrainer, rewards_of: RewardFunction, clock: Clock, iteration: int
    ) -> dict[str, Any]:
        """One batch of responses: sampled, scored, learned from, and compared with the SFT policy's."""
        examples = self._examples(iteration)
        with clock("rollout"):
            drawn = rollout(
                trainer.policy,
                [example.prompt for example in examples],
                max_prompt_tokens=self.settings.max_prompt_tokens,
                max_new_tokens=self.settings.max_new_tokens,
                generator=_generator(self.lab.device, self.spec.seed, iteration),
                keep_predictions=True,
            )
        with clock("scoring"), stopping():
            rewards = rewards_of(
                [example.prompt for example in examples],
                drawn.responses,
                drawn.offsets,
                drawn.batch.response_mask.cpu(),
            )
        with clock("update"), stopping():
            per_token = rewards.per_token.to(trainer.policy.device)
            centred = leave_one_out(per_token, drawn.batch.response_mask, per_prompt=self.settings.responses_per_prompt)
            ppo = trainer.step(drawn.batch, centred, drawn.predictions)
        gold = self.lab.task.gold(examples, drawn.responses)
        return {
            **rewards.metrics,
            **ppo,
            "reward_sd": rewards.per_token.sum(dim=1).std(correction=0).item(),
            "reward_spread": self._spread(rewards.per_token.sum(dim=1).tolist()),
            "gold_spread": self._spread(gold),
            "gold": float(np.mean(gold)),
            "gold_win_rate": self._win_rate_over_sft(examples, gold),
            "length": drawn.lengths.float().mean().item(),
            "truncated_prompts": drawn.truncated_prompts,
            "dev_gold": None,
        }

    def _spread(self, values: Sequence[float]) -> float | None:
        """Mean over prompts of the standard deviation (n - 1) of their responses' values; None with one response each.

        Source: arXiv:2310.20703, where it decides how fast a reward teaches.
        """
        copies = self.settings.responses_per_prompt
        if copies == 1:
            return None
        return float(np.std(np.reshape(values, (-1, copies)), axis=1, ddof=1).mean())

    def _win_rate_over_sft(self, examples: list[Example], golds: list[float]) -> float:
        """Percent of comparisons by gold that responses win against SFT samples of their prompts, a tie counting half.

        Every response meets all of its prompt's reference samples, and every prompt counts alike.
        """
        references = self.lab.reference_golds
        wins = [
            np.mean([(gold > other) + 0.5 * (gold == other) for other in references[example.id]])
            for example, gold in zip(examples, golds, strict=True)
        ]
        return 100 * float(np.mean(wins))

    def _rewards(self, model: RoundRewardModel) -> RewardFunction:
        """The run's rewards with its reward model as it is now."""
        lab = self.lab
        asked = {"none": (), "holistic": ("holistic",), "all": ("holistic", *lab.task.properties)}
        scorers = {"holistic": model.scorer, **lab.scorers}
        names = asked[self.method.properties]
        sharded = {name: in_shards(scorers[name]) for name in {"holistic", self.aspect, *names}}
        return RewardFunction(
            self.method,
            lab.preset.reward,
            sharded["holistic"],
            sharded[self.aspect],
            {**lab.constants, "holistic": model.constants},
            properties={name: sharded[name] for name in names},
            references=reference_levels(lab, {name: scorers[name] for name in names}),
        )

    def _dev_golds(self, policy: Policy) -> list[float]:
        """Gold quality of greedy responses to the dev prompts."""
        dev = self.lab.task.split("dev")[: self.lab.preset.evaluation.dev_examples]
        return self.lab.task.gold(dev, [sample.response for sample in generate(policy, dev, self.lab.preset)])

    def _end_round(self, policy: Policy, model: RoundRewardModel, number: int, path: Path) -> dict[str, Any]:
        """What the reward model makes of the current policy; the samples of the last round are kept."""
        samples = model.samples(policy, number)
        if processes.is_main():
            write_samples(path / FINAL_SAMPLES, samples)
        return {"round": number} | model.judge(samples)

    def _checkpoint(
        self,
        trainer: PPOTrainer,
        model: RoundRewardModel,
        history: list[dict[str, Any]],
        clock: Clock,
        work: Path,
        started: str,
    ) -> None:
        """The state names its weights and replaces the old one in one rename: a kill leaves one whole pair."""
        weights = f"iteration{len(history)}"
        trainer.save(work / weights)
        if not processes.is_main():
            return
        model.save(work / weights / REWARD_MODEL)
        state = {"weights": weights, "history": history, "started": started, "seconds": clock.seconds}
        write_json(work / STATE, state)
        _remove(work, keep=(STATE, weights))

    def _test(self, policy: Policy, clock: Clock) -> tuple[tuple[list[Generation], list[Generation]], dict[str, Any]]:
        """Greedy and sampled responses to the test prompts with their scores, and the metrics of the record."""
        lab = self.lab
        examples = lab.task.split("test")[: lab.preset.evaluation.test_examples]
        with clock("evaluation"):
            greedy = generate(policy, examples, lab.preset)
            drawn = generate(policy, examples, lab.preset, count=1, seed=self.spec.seed)
            if not processes.is_main():
                return ([], []), {}
            tested = score_generations(lab, examples, greedy), score_generations(lab, examples, drawn)
            metrics = {
                "test": score_means(tested[0]),
                "test_sampled": score_means(tested[1]),
                "sft": score_means(lab.sft_test_generations),
                "sft_sampled": score_means(lab.sft_test_samples),
                "corpus": lab.corpus_metrics(examples, [sample.response for sample in greedy]),
                "sft_corpus": lab.corpus_metrics(examples, [g.response for g in lab.sft_test_generations]),
                "dev": {"sft_golds": lab.sft_dev_golds},
            }
        return tested, metrics

    def _examples(self, iteration: int) -> list[Example]:
        """The training prompts of an iteration: a function of the seed alone, so that a resumed run sees the same."""
        train, copies = self.lab.ppo_examples, self.settings.responses_per_prompt
        size = self.settings.batch_size // copies
        chosen = []
        for position in range(iteration * size, (iteration + 1) * size):
            epoch, index = divmod(position, len(train))
            chosen += [train[_order(self.spec.seed, epoch, len(train))[index]]] * copies
        return chosen


def _generator(device: str, *seeds: int) -> torch.Generator:
    """An independent stream per (seed, iteration)."""
    state = np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) >> 1)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order of the training prompts in one pass."""
    return np.random.default_rng([seed, epoch]).permutation(count).tolist()


def _remove(folder: Path, *, keep: tuple[str, ...] = ()) -> None:
    """Delete a folder, or everything in it but the entries to keep."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in folder.iterdir():
        if entry.name not in keep:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
