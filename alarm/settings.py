"""Settings of an experiment: frozen dataclasses, one per concern, and the presets of every scale and task.

Sources: [paper] is arXiv:2403.06754, [code] the authors' released code, [ours] a choice of this project. The `tiny`
and `small` presets are ours throughout; their hyperparameters were chosen on the dev split and with unreported seeds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SCALES = {
    "tiny": "generated worlds, models trained from scratch in seconds; no network, no GPU",
    "small": "real text from disk (Multi30k for wmt), models trained from scratch; patient CPU or one GPU",
    "paper": "the papers' models and data; needs hub access and GPUs",
}


@dataclass(frozen=True)
class PolicySettings:
    """The policy network: a checkpoint by name or path, or a from-scratch architecture when `checkpoint` is None."""

    checkpoint: str | None = None
    architecture: str = "seq2seq"  # "seq2seq" (T5) or "causal" (GPT-2) when built from scratch
    vocabulary_size: int = 768  # pieces
    hidden_size: int = 64
    feedforward_size: int = 256
    layers: int = 2  # per stack
    heads: int = 4
    lora_rank: int = 0  # 0: full fine-tuning, the reference policy is a frozen copy
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    dtype: str = "float32"  # of the base weights; losses are always fp32


@dataclass(frozen=True)
class SFTSettings:
    """Supervised fine-tuning of the initial policy."""

    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.0  # of the base model, during SFT only
    seed: int = 0


@dataclass(frozen=True)
class RewardModelSettings:
    """Comparisons by simulated annotators, and the reward models trained on them."""

    comparison_prompts: int = 800  # prompts whose responses are compared
    responses_per_prompt: int = 4  # samples of the SFT policy compared with each other
    error_rate: float = 0.15  # share of judgements that are flipped at random
    temperature: float = 0.15  # of the annotators' choice, in units of gold quality
    span_error_rate: float = 0.1  # share of text units whose mark is wrong
    steps: int = 200
    batch_size: int = 64  # pairs
    learning_rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class RewardSettings:
    """How rewards are weighted. z-constants are measured, never set here."""

    holistic_weight: float = 5.0  # w_h [paper, 4.1]
    threshold: float = 0.6  # T, in standard deviations of the holistic reward [paper, 4.1]
    aspect_weight: float = 1.0  # w_a
    too_short_tokens: int = 1  # a response of at most this many generated tokens (the end token counts) is degenerate
    too_short_reward: float = -10.0  # z-normalised holistic reward of a degenerate response [code]


@dataclass(frozen=True)
class PPOSettings:
    """PPO with per-token rewards. Defaults are the constants common to both of the paper's tasks."""

    iterations: int = 40  # batches of rollouts
    batch_size: int = 64  # responses per rollout batch
    mini_batch_size: int = 32
    accumulation_steps: int = 1  # mini-batches per optimiser step
    epochs: int = 4  # passes over each batch [paper]
    learning_rate: float = 2e-4
    value_learning_rate: float | None = None  # of the value head; None: `learning_rate` [code]
    warmup_iterations: int = 0  # of the policy's learning rate, linear; Adam's first steps are its largest
    gamma: float = 1.0  # [paper]
    gae_lambda: float = 0.95  # [paper]
    clip_range: float = 0.2  # of the probability ratio [paper]
    value_clip_range: float = 0.2  # [paper]
    value_weight: float = 0.1  # [paper]
    initial_kl_coef: float = 0.2  # [paper]
    target_kl: float = 6.0  # nats per response, of the adaptive coefficient [paper]
    kl_horizon: int = 10_000  # responses [paper]
    early_stop_kl: float = 0.1  # epochs end when the batch's approximate KL exceeds 1.5 times this [code]
    max_ratio: float = 10.0  # a mini-batch whose mean ratio exceeds this is skipped [code]
    max_grad_norm: float | None = None  # no clipping in the authors' code
    value_dropout: float = 0.1  # on the value head's input, off in rollouts [code]
    max_prompt_tokens: int = 128
    max_new_tokens: int = 48
    eval_every: int = 10  # iterations between greedy evaluations on dev
    checkpoint_every: int = 10  # iterations between resumable checkpoints


@dataclass(frozen=True)
class EvaluationSettings:
    """How many examples are generated for what."""

    dev_examples: int = 100  # greedy evaluation during training
    test_examples: int = 200
    selection_examples: int = 300  # dev prompts for z-constants and greedy/sampled selection pairs


@dataclass(frozen=True)
class Preset:
    """Everything that decides the numbers of one task at one scale, apart from method and seed."""

    scale: str
    task: str
    policy: PolicySettings = field(default_factory=PolicySettings)
    sft: SFTSettings = field(default_factory=SFTSettings)
    reward_models: RewardModelSettings = field(default_factory=RewardModelSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
