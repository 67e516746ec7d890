"""Settings of an experiment: frozen dataclasses, one per concern, and the presets of every scale and task.

Sources: [paper] is arXiv:2403.06754, [code] the authors' released code, [ours] a choice of this project. The `tiny`
and `small` presets are ours throughout; their hyperparameters were chosen on the dev split and with unreported seeds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SCALES = {
    "tiny": "generated worlds, small models from a shipped base; no network, no GPU",
    "small": "real text from disk (Multi30k for wmt), models trained from scratch; patient CPU or one GPU",
    "paper": "the papers' models and data; needs hub access and a GPU",
}


@dataclass(frozen=True)
class DataSettings:
    """Which data a task reads, and how a corpus without splits of its own is split."""

    corpus: str = "world"  # "world" (generated), "multi30k", "europarl", "qa_feedback"
    world_seed: int | None = None  # decides a generated world: names, facts, sentences; None: the task's own
    source_language: str = "de"  # of translation, as an ISO 639-1 code; the target is English
    prompt_prefix: str = ""  # before the source sentence, as pretrained T5 models expect
    pairs: int | None = None  # the first so many pairs of a corpus without splits; None: all
    test_share: float = 0.3  # of these pairs
    dev_share: float = 0.1  # of the rest
    split_seed: int = 42


@dataclass(frozen=True)
class PolicySettings:
    """The policy network: a checkpoint by name or path, or a from-scratch architecture when `checkpoint` is None."""

    checkpoint: str | None = None
    revision: str | None = None  # of the checkpoint on the hub; None: the newest
    tokenizer_revision: str | None = None  # of its tokenizer; None: the same
    architecture: str = "seq2seq"  # "seq2seq" (T5) or "causal" (GPT-2) when built from scratch
    vocabulary_size: int = 768  # pieces
    hidden_size: int = 64
    feedforward_size: int = 256
    layers: int = 2  # per stack
    heads: int = 4
    tuned: str = "all"  # weights that PPO trains; "norms": the scales of the normalisation layers alone [ours]
    lora_rank: int = 0  # 0: no adapter, the reference policy is a frozen copy
    lora_alpha: int = 32
    lora_dropout: float = 0.05  # [paper]; PPO keeps it off, so that the first ratio is 1
    dtype: str = "float32"  # of the base weights; losses are always fp32


@dataclass(frozen=True)
class BaseSettings:
    """The base model of a generated world: what `python -m alarm pretrain` trains."""

    texts: int = 16_000  # prompts with a response of mixed quality each
    steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class SFTSettings:
    """Supervised fine-tuning of the initial policy."""

    steps: int = 400  # 0: a checkpoint is taken as it is
    batch_size: int = 64
    accumulation_steps: int = 1  # parts of a batch that are read one after another, to save memory
    learning_rate: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    schedule: str = "cosine"  # of the learning rate after warm-up, or "linear"
    dropout: float = 0.0  # of the base model, during SFT only
    seed: int = 0


@dataclass(frozen=True)
class RewardModelSettings:
    """Comparisons by simulated annotators, and the reward models trained on them."""

    holistic_model: str | None = None  # a ready-made holistic reward, e.g. "ultrarm:NAME"; None: trained on comparisons
    aspect_models: str | None = None  # folder with ready-made aspect models of long-form QA; None: trained on feedback
    sentence_splitter: str = "rules"  # of factuality and relevance, or "spacy", the paper's
    comparison_prompts: int = 800  # prompts whose responses are compared
    responses_per_prompt: int = 4  # samples of the SFT policy compared with each other
    grammar_checker: str = "harper"  # or "languagetool", the paper's
    error_rate: float = 0.15  # share of judgements that are flipped at random
    temperature: float = 0.15  # of the annotators' choice, in units of gold quality
    taste_share: float = 0.0  # share of judgements by taste alone: for answers sure of themselves, longer translations
    span_error_rate: float = 0.1  # share of text units whose mark is wrong
    steps: int = 200
    batch_size: int = 64  # pairs
    learning_rate: float = 1e-3
    head_rate: float = 10.0  # multiple of it for an encoder-decoder's new head, which starts from nothing
    body_rate: float = 0.1  # for what lies below that, where it reads what the policy read
    likelihoods: bool = True  # an encoder-decoder's head also reads how likely its own language model finds the text
    gradient_checkpointing: bool = False  # activations are computed again in the backward pass, to save memory
    seed: int = 0


@dataclass(frozen=True)
class AspectTrainingSettings:
    """How aspect models are trained on feedback where they do not start from the policy as the holistic model does."""

    checkpoint: str | None = None  # weights and tokenizer to start from; None: the SFT policy, trained as it
    max_tokens: int = 2048  # of prompt and response together
    unit_steps: int = 8000  # of factuality and relevance
    unit_responses: int = 24  # per step
    unit_learning_rate: float = 5e-6
    pair_steps: int = 6000  # of completeness
    pairs: int = 24  # per step
    pair_learning_rate: float = 5e-5
    gradient_checkpointing: bool = False  # see `RewardModelSettings`


@dataclass(frozen=True)
class RecipeSettings:
    """How reward models are denoised, regularised and adapted. [rlhf2] is arXiv:2401.06080."""

    ensemble_size: int = 10  # M, models behind a pair's preference strength [rlhf2]
    ensemble_steps: int = 100  # optimiser steps of each
    left_out_folds: int = 4  # of `ensemble_size` folds of prompts, left out by each cross-fitted model
    strength: str = "cross_fitted"  # what recipes read; or "in_sample", as the paper
    flip_share: float = 0.1  # of the weakest pairs, whose labels `flip` swaps [rlhf2, figure 8]
    soft_label: float = 0.1  # alpha of label smoothing on pairs of negative strength
    contrastive_weight: float = 0.1  # beta
    contrastive_target: str = "pair"  # representations of both responses; or "difference", of their difference
    contrastive_temperature: float = 0.1  # tau of SimCSE and of SwAV's assignments
    contrastive_dropout: float = 0.1  # makes the two views of one representation
    prototypes: int = 16  # of SwAV
    sinkhorn_epsilon: float = 0.05
    sinkhorn_iterations: int = 3
    rounds: int = 4  # of iterative RLHF; the runs' reward-model diagnostics are taken at their ends
    round_prompts: int = 40  # dev prompts whose samples of the current policy these diagnostics score
    round_samples: int = 4  # k, samples per prompt, there and in MetaRM's difference loss
    meta_steps: int = 8  # MetaRM updates between rounds
    meta_pool: int = 64  # prompts that the current policy answers for them
    meta_prompts: int = 32  # of these, prompts per update whose samples' scores are spread
    meta_ascent_rate: float = 1e-2  # eta, of the difference loss
    meta_learning_rate: float = 1e-2  # alpha, of the preference loss
    study_steps: int = 60  # optimiser steps of every model in the reward-model study, equal for all recipes
    study_pairs: int | None = None  # training comparisons of its curves, so few that noise is memorised; None: all
    study_seeds: tuple[int, ...] = (1, 2, 3)


@dataclass(frozen=True)
class ReferenceSettings:
    """Reference levels of log-sigmoid-centred rewards (arXiv:2402.00742)."""

    strategy: str = "quantile"  # or "mean", "canned", "constant" (see `alarm.references`)
    quantile: float = 0.85  # of the SFT samples' rewards on the same prompt
    samples: int = 4  # SFT samples per prompt
    canned_response: str = ""  # whose reward is the level of strategy "canned"
    constant: float = 0.0  # of strategy "constant"
    pool: int = 64  # SFT samples per prompt of best-of-k
    pool_prompts: int = 64  # test prompts of best-of-k


@dataclass(frozen=True)
class RewardSettings:
    """How rewards are weighted and normalised."""

    constants: str = "measured"  # z-constants: on SFT samples; or "paper", those of UltraRM-13B and the authors' policy

    holistic_weight: float = 5.0  # w_h [paper, 4.1]
    threshold: float = 0.6  # T, in standard deviations of the holistic reward [paper, 4.1]
    aspect_weight: float = 1.0  # w_a
    too_short_tokens: int = 1  # a response of at most this many generated tokens (the end token counts) is degenerate
    too_short_reward: float = -10.0  # z-normalised holistic reward of a degenerate response [code]


@dataclass(frozen=True)
class PPOSettings:
    """PPO with per-token rewards. Defaults are the constants common to both of the paper's tasks."""

    train_prompts: int | None = None  # the last so many of the train split are learned from; None: all
    iterations: int = 40  # batches of rollouts
    batch_size: int = 64  # responses per rollout batch
    responses_per_prompt: int = 1  # above 1, the others' mean reward is a baseline (see `leave_one_out`) [ours]
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
    early_stop_kl: float = 0.1  # epochs end when the last mini-batch's approximate KL exceeds 1.5 times this [code]
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
    pool_prompts: int = 150  # of these, prompts of the scored pool of SFT samples
    pool_samples: int = 8  # SFT samples of each
    batch_size: int = 128  # responses generated at once, other than in PPO's rollouts


@dataclass(frozen=True)
class Preset:
    """Everything that decides the numbers of one task at one scale, apart from method and seed."""

    scale: str
    task: str
    data: DataSettings = field(default_factory=DataSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    base: BaseSettings | None = None  # of a generated world; None: the policy is a checkpoint, or built from scratch
    sft: SFTSettings = field(default_factory=SFTSettings)
    reward_models: RewardModelSettings = field(default_factory=RewardModelSettings)
    aspect_training: AspectTrainingSettings = field(default_factory=AspectTrainingSettings)
    recipes: RecipeSettings = field(default_factory=RecipeSettings)
    references: ReferenceSettings = field(default_factory=ReferenceSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: tuples are lists."""
        return asdict(self, dict_factory=lambda pairs: {k: list(v) if isinstance(v, tuple) else v for k, v in pairs})
