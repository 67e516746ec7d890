"""Scale `paper`: the experiments of arXiv:2403.06754 with their constants, and where each value comes from.

[paper] is the paper, by section or table; [code] the authors' released code; [fgrlhf] the released scripts of
Fine-Grained RLHF (arXiv:2306.01693), whose data and aspect models the paper uses; [ours] a choice of this project
where neither says anything or where we differ, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from fnmatch import fnmatchcase
from typing import Any

from alarm.settings import (
    AspectTrainingSettings,
    DataSettings,
    EvaluationSettings,
    PolicySettings,
    PPOSettings,
    Preset,
    ReferenceSettings,
    RewardModelSettings,
    RewardSettings,
    SFTSettings,
)

ULTRA_RM = "ultrarm:openbmb/UltraRM-13b"

PAPER_CONSTANTS = {
    "long_form_qa": {
        "holistic": (-4.896130742253484, 3.0595760500526468),
        "completeness": (-0.44677690555995353, 8.301160619054132),
    },
    "wmt": {
        "holistic": (-2.34417221913525, 2.946283030347152),
        "readability": (11.19907041598879, 6.04405504045225),
    },
}
"""Mean and standard deviation that the authors' code normalises by; they belong to UltraRM-13B and the authors' initial
policies, and how they were measured is not documented. Mean lengths are always measured: the authors count tokens, we
count words."""

LONG_FORM_QA = Preset(
    scale="paper",
    task="long_form_qa",
    data=DataSettings(corpus="qa_feedback", source_language="en"),
    policy=PolicySettings(checkpoint="t5-large", lora_rank=16, lora_alpha=32, lora_dropout=0.05, dtype="bfloat16"),
    sft=SFTSettings(
        steps=2500,
        batch_size=4,
        learning_rate=5e-5,
        warmup_share=0.0,
        weight_decay=0.0,
        schedule="linear",
        dropout=0.1,
    ),
    reward_models=RewardModelSettings(
        holistic_model=ULTRA_RM, grammar_checker="languagetool", sentence_splitter="spacy"
    ),
    aspect_training=AspectTrainingSettings(
        checkpoint="allenai/longformer-base-4096",
        max_tokens=2048,
        unit_steps=8027,
        unit_responses=24,
        unit_learning_rate=5e-6,
        pair_steps=6000,
        pairs=24,
        pair_learning_rate=5e-5,
        gradient_checkpointing=True,
    ),
    references=ReferenceSettings(pool=16),
    reward=RewardSettings(holistic_weight=5.0, threshold=0.6),
    ppo=PPOSettings(
        iterations=963,
        batch_size=8,
        mini_batch_size=4,
        accumulation_steps=2,
        learning_rate=2e-4,
        max_prompt_tokens=1024,
        max_new_tokens=200,
        eval_every=10,
        checkpoint_every=10,
    ),
    evaluation=EvaluationSettings(dev_examples=500, test_examples=948, selection_examples=500, batch_size=32),
)

WMT = Preset(
    scale="paper",
    task="wmt",
    data=DataSettings(
        corpus="europarl",
        source_language="es",
        prompt_prefix="translate Spanish to English: ",
        pairs=100_000,
        test_share=0.3,
        dev_share=0.1,
        split_seed=42,
    ),
    policy=PolicySettings(
        checkpoint="google/mt5-base", lora_rank=16, lora_alpha=32, lora_dropout=0.05, dtype="bfloat16"
    ),
    sft=SFTSettings(
        steps=4921,
        batch_size=64,
        accumulation_steps=2,
        learning_rate=1e-3,
        warmup_share=0.1,
        weight_decay=0.05,
        dropout=0.1,
        seed=42,
    ),
    reward_models=RewardModelSettings(holistic_model=ULTRA_RM, grammar_checker="languagetool"),
    references=ReferenceSettings(pool=16),
    reward=RewardSettings(holistic_weight=3.0, threshold=0.5),
    ppo=PPOSettings(
        train_prompts=3200,
        iterations=50,
        batch_size=32,
        mini_batch_size=16,
        accumulation_steps=2,
        learning_rate=5e-4,
        max_prompt_tokens=128,
        max_new_tokens=128,
        eval_every=5,
        checkpoint_every=5,
    ),
    evaluation=EvaluationSettings(dev_examples=2000, test_examples=30_000, selection_examples=2000, batch_size=128),
)

PAPER_PRESETS = {("paper", preset.task): preset for preset in (LONG_FORM_QA, WMT)}

_TASK = {"long_form_qa": "4.1", "wmt": "4.2"}
_PAPER = "[paper] section {section}"
_SOURCES = {
    "data.corpus": _PAPER,
    "data.source_language": _PAPER,
    "data.prompt_prefix": "[code]",
    "data.pairs": _PAPER,
    "data.test_share": "[code]",
    "data.dev_share": "[code]",
    "data.split_seed": "[code]",
    "data.world_seed": "[ours] decides nothing: the data are people's",
    "policy.checkpoint": _PAPER,
    "policy.revision": "[ours] the newest, since none is stated",
    "policy.tokenizer_revision": "[ours] that of the checkpoint",
    "policy.tuned": "[ours] decides nothing beside an adapter",
    "policy.lora_*": "[paper], [code]",
    "policy.dtype": "[code]",
    "policy.*": "[ours] of policies built from scratch; unused beside a checkpoint",
    "reward_models.holistic_model": _PAPER,
    "reward_models.aspect_models": "[ours] none: name a folder with --aspect-models, or models are trained on feedback",
    "reward_models.grammar_checker": "[paper] section 4.2",
    "reward_models.sentence_splitter": "[code], [fgrlhf] spaCy's en_core_web_sm; without it --sentence-splitter rules",
    "reward_models.*": "[ours] of models trained on comparisons; unused beside a ready-made holistic model",
    "recipes.rounds": "[ours] diagnostics of the reward model four times a run",
    "recipes.round_*": "[ours] size of these diagnostics",
    "recipes.*": "[ours] of reward-model recipes; unused beside a ready-made holistic model",
    "references.pool": "[ours] best of 16",
    "references.*": "[ours] of log-sigmoid-centred rewards and of win rates over the SFT policy (arXiv:2402.00742)",
    "reward.constants": "[ours] measured on samples of our SFT policy; --constants paper takes the authors' own",
    "reward.holistic_weight": _PAPER,
    "reward.threshold": _PAPER,
    "reward.aspect_weight": "[code]",
    "reward.too_short_*": "[code]",
    "ppo.responses_per_prompt": "[code]",
    "ppo.value_learning_rate": "[code] as the policy's",
    "ppo.warmup_iterations": "[code]",
    "ppo.early_stop_kl": "[code]",
    "ppo.max_ratio": "[code]",
    "ppo.max_grad_norm": "[code]",
    "ppo.value_dropout": "[code]",
    "ppo.mini_batch_size": "[code]",
    "ppo.accumulation_steps": "[code]",
    "ppo.max_*_tokens": "[code]",
    "ppo.eval_every": "[code]",
    "ppo.checkpoint_every": "[code]",
    "ppo.*": "[paper], [code]",
    "evaluation.batch_size": "[ours] as many as need less memory than the update of PPO",
    "evaluation.selection_examples": "[ours] the dev prompts that are evaluated",
    "evaluation.*": "[code]",
}
_OF_TASK = {
    "long_form_qa": {
        "data.source_language": "[ours] decides nothing in this task",
        "data.prompt_prefix": "[code] none: prompts are the published files' own",
        "data.*": "[ours] decides nothing: QA-Feedback has splits of its own",
        "sft.*": "[fgrlhf] train_sft.sh: 10 epochs of 1,000 examples in batches of 4, else the Trainer's defaults",
        "sft.seed": "[ours]",
        "aspect_training.checkpoint": "[fgrlhf] train_fact_rm.sh, train_rel_rm.sh, train_comp_rm.sh",
        "aspect_training.unit_steps": "[fgrlhf] 50 epochs of 3,853 records by 24; the best epoch is not sought",
        "aspect_training.gradient_checkpointing": "[ours] the same step in a tenth of the memory",
        "aspect_training.*": "[fgrlhf] the same scripts",
        "sft.dropout": "[fgrlhf] the checkpoint's own",
        "ppo.train_prompts": "[code] the whole training set",
        "ppo.iterations": "[paper], [code] two passes over 3,853 prompts in batches of 8",
    },
    "wmt": {
        "sft.*": "[code] train_sft.py: 5 epochs of 63,000 pairs in batches of 32 x 2",
        "sft.schedule": "[code]",
        "aspect_training.*": "[ours] decides nothing: this task's aspects are tools",
        "sft.dropout": "[code] the checkpoint's own",
        "ppo.train_prompts": "[ours] where the authors draw 1,600 of 63,000: SFT samples exist for all of these",
        "ppo.iterations": "[paper], [code]",
    },
}


def source(task: str, name: str) -> str:
    """Where the value of a field, such as `ppo.gamma`, of a paper preset comes from.

    The task's own entries come first, and an exact name before a pattern that ends in or holds `*`.

    Raises:
        KeyError: nobody has said so.
    """
    for table in (_OF_TASK[task], _SOURCES):
        for pattern in sorted(table, key=lambda p: ("*" in p, -len(p))):
            if fnmatchcase(name, pattern):
                return table[pattern].format(section=_TASK[task])
    raise KeyError(name)


def flattened(preset: Preset) -> Iterator[tuple[str, Any]]:
    """Every field of every concern that a preset has, as `ppo.gamma`, with its value."""
    for concern in fields(preset):
        value = getattr(preset, concern.name)
        if is_dataclass(value):
            yield from ((f"{concern.name}.{name}", field) for name, field in asdict(value).items())
