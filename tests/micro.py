"""The experiment in miniature: presets whose policies learn next to nothing, in seconds, for tests of the plumbing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from alarm.experiment.lab import Lab, lab_class
from alarm.presets import preset
from alarm.settings import EvaluationSettings, Preset, RewardModelSettings, SFTSettings
from alarm.store import Store

ITERATIONS = 4
TASKS = ("long_form_qa", "wmt")


def micro_preset(task: str) -> Preset:
    """Scale `tiny` of a task, so that it generates its own data, with every size cut down, from random weights."""
    tiny = preset("tiny", task)
    return replace(
        tiny,
        base=None,
        policy=replace(tiny.policy, hidden_size=48, feedforward_size=96, layers=1, heads=2),
        # Fewer steps, and hardly two answers to a question differ in gold: nothing would be left to compare.
        sft=SFTSettings(steps=300 if task == "long_form_qa" else 120, batch_size=32, learning_rate=1e-2),
        reward_models=RewardModelSettings(comparison_prompts=48, steps=6, batch_size=16),
        recipes=replace(
            tiny.recipes,
            ensemble_size=3,
            ensemble_steps=2,
            left_out_folds=1,
            round_prompts=4,
            round_samples=2,
            meta_steps=2,
            meta_pool=4,
            meta_prompts=2,
            study_steps=4,
            study_pairs=40,
            study_seeds=(1,),
        ),
        references=replace(tiny.references, samples=2, pool=4, pool_prompts=4),
        ppo=replace(
            tiny.ppo,
            train_prompts=40,
            iterations=ITERATIONS,
            batch_size=8,
            mini_batch_size=4,
            responses_per_prompt=4,
            max_new_tokens=24,
            eval_every=2,
            checkpoint_every=1,
        ),
        evaluation=EvaluationSettings(
            dev_examples=6, test_examples=8, selection_examples=12, pool_prompts=4, pool_samples=2
        ),
    )


def micro_lab(task: str, store: Path, **changes) -> Lab:
    """A lab over the folder `store`; `changes` replace fields of the micro preset."""
    return lab_class(task)(replace(micro_preset(task), **changes), Store(store))
