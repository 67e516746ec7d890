"""The named configurations: one preset per scale and task."""

from __future__ import annotations

from dataclasses import replace

from alarm.paper_presets import PAPER_PRESETS
from alarm.registry import UnknownNameError, unknown_name
from alarm.settings import (
    SCALES,
    BaseSettings,
    DataSettings,
    EvaluationSettings,
    PolicySettings,
    PPOSettings,
    Preset,
    RecipeSettings,
    ReferenceSettings,
    RewardModelSettings,
    RewardSettings,
    SFTSettings,
)

TASK_NAMES = ("long_form_qa", "wmt")
REPORTED_SEEDS = (1, 2, 3)

# w_h and T of the paper's section 4.1 and 4.2, used at every scale.
QA_REWARD = RewardSettings(holistic_weight=5.0, threshold=0.6)
MT_REWARD = RewardSettings(holistic_weight=3.0, threshold=0.5)

# A small policy: its value head must learn fast (at the policy's rate the critic
# explains nothing), value errors must not bend the shared trunk, and Adam's first full-size steps undo the SFT.
FROM_SCRATCH_PPO = PPOSettings(
    epochs=2,
    learning_rate=1e-4,
    value_learning_rate=1e-2,
    value_weight=0.01,
    value_clip_range=100.0,
    warmup_iterations=4,
    eval_every=4,
    checkpoint_every=8,
)
# The base model can do the task, so all its weights learn what to do with that; responses to one prompt share an
# encoder's pass, and what they have in common is no noise. No early stop: the KL penalty holds the policy. Both worlds
# share these settings; each names its own number of iterations and epochs.
TINY_PPO = replace(
    FROM_SCRATCH_PPO,
    train_prompts=1000,
    responses_per_prompt=8,
    batch_size=128,
    mini_batch_size=128,
    learning_rate=3e-4,
    warmup_iterations=1,
    initial_kl_coef=0.1,
    early_stop_kl=1e9,
    max_prompt_tokens=128,
    max_new_tokens=72,
    eval_every=5,
    checkpoint_every=10,
)
# Ensembles of small models: two of five folds left out, so that every pair is scored by two models that never saw it.
SMALL_ENSEMBLE = RecipeSettings(ensemble_size=5, ensemble_steps=50, left_out_folds=2, study_pairs=800, round_prompts=24)

TINY_REWARD_MODELS = RewardModelSettings(
    comparison_prompts=4000,
    error_rate=0.1,
    temperature=0.1,
    taste_share=0.2,
    span_error_rate=0.05,
    steps=300,
    batch_size=128,
    learning_rate=1e-3,
    head_rate=3.0,
    body_rate=1.0,
)

PRESETS: dict[tuple[str, str], Preset] = {
    **PAPER_PRESETS,
    ("tiny", "long_form_qa"): Preset(
        scale="tiny",
        task="long_form_qa",
        base=BaseSettings(texts=16_000, steps=4000),
        sft=SFTSettings(steps=300, learning_rate=2e-3),
        reward_models=TINY_REWARD_MODELS,
        recipes=SMALL_ENSEMBLE,
        reward=QA_REWARD,
        ppo=replace(TINY_PPO, iterations=20),
    ),
    ("tiny", "wmt"): Preset(
        scale="tiny",
        task="wmt",
        base=BaseSettings(texts=38_000, steps=3000),
        sft=SFTSettings(steps=500, learning_rate=2e-3),
        reward_models=TINY_REWARD_MODELS,
        recipes=SMALL_ENSEMBLE,
        reward=MT_REWARD,
        ppo=replace(TINY_PPO, iterations=20, epochs=1),
    ),
    ("small", "wmt"): Preset(
        scale="small",
        task="wmt",
        data=DataSettings(corpus="multi30k"),
        policy=PolicySettings(vocabulary_size=4000, hidden_size=192, feedforward_size=768, layers=2, heads=4),
        sft=SFTSettings(steps=3000, batch_size=96, learning_rate=2e-3, dropout=0.1),
        reward_models=RewardModelSettings(comparison_prompts=2000, steps=150),
        recipes=replace(SMALL_ENSEMBLE, ensemble_steps=100, study_steps=100),
        references=ReferenceSettings(samples=4, pool=32),
        reward=MT_REWARD,
        ppo=replace(
            FROM_SCRATCH_PPO,
            train_prompts=2560,
            iterations=40,
            batch_size=128,
            mini_batch_size=64,
            max_new_tokens=64,
            eval_every=10,
            checkpoint_every=10,
        ),
        evaluation=EvaluationSettings(dev_examples=200, test_examples=1000, selection_examples=1000),
    ),
}


def preset(scale: str, task: str) -> Preset:
    """The configuration of a task at a scale.

    Raises:
        ValueError: an unknown scale or task (the message lists the known ones), or a pair that has no preset yet.
    """
    if task not in TASK_NAMES:
        raise UnknownNameError(unknown_name("task", task, TASK_NAMES))
    if not has_preset(scale, task):
        available = ", ".join(f"{s}/{t}" for s, t in PRESETS)
        raise ValueError(f"there is no preset for scale {scale!r} and task {task!r} yet. Available: {available}")
    return PRESETS[scale, task]


def has_preset(scale: str, task: str) -> bool:
    """Whether a task has a configuration at a scale; an unknown scale raises as in `preset`."""
    if scale not in SCALES:
        raise UnknownNameError(unknown_name("scale", scale, SCALES))
    return (scale, task) in PRESETS
