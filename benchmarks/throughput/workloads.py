"""The workloads by scale: networks, batches and lengths, without weights or texts.

`tiny` and `small` have the shapes of their presets and W1 to W3, in which other libraries' PPO is compared; `paper` has
the published networks' shapes and the paper's batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from alarm.architectures import llama_13b, longformer_base, mt5_base, t5_large
from alarm.paper_presets import LONG_FORM_QA, WMT
from alarm.presets import preset
from alarm.settings import (
    PolicySettings,
    PPOSettings,
    RecipeSettings,
    RewardModelSettings,
    RewardSettings,
)

WORLD_PROMPT_TOKENS = {"long_form_qa": 64, "wmt": 12}
"""About the median of the generated worlds' prompts in their own vocabulary of 768 pieces."""
MULTI30K_PROMPT_TOKENS = 20
"""About the median German caption in 4,000 pieces."""


@dataclass(frozen=True)
class RewardModelWork:
    """How much of reward modelling is done: training steps, an ensemble, MetaRM steps."""

    settings: RewardModelSettings
    recipes: RecipeSettings
    pairs: int
    """Comparisons, two to a prompt."""


@dataclass(frozen=True)
class Workload:
    """One policy with its scorers at one batch size and one length.

    The policy may not end a response, so that all have `ppo.max_new_tokens` tokens: what random weights nearly always
    do, the worst case, and the same amount of work whoever samples.
    """

    name: str
    task: str
    """Whose scorers and prompts."""
    policy: PolicySettings
    ppo: PPOSettings
    """`max_prompt_tokens` is the length of every prompt."""
    reward: RewardSettings
    scorers: tuple[str, ...]
    """The holistic one first, then the aspect of PPO's rewards, then further ones that are measured alone."""
    training: RewardModelWork | None = None
    """None: no reward model is trained."""
    network: PretrainedConfig | None = None
    """Of the policy; None: from scratch, of the size that `policy` states."""
    holistic: PretrainedConfig | None = None
    """Of an UltraRM; None: a reader of the policy's shape."""
    aspects: PretrainedConfig | None = None
    """Of the Longformers of question answering, and of the reward model that is trained; None: as `holistic`."""
    rounds: int = 5

    @property
    def aspect(self) -> str:
        return self.scorers[1]

    def shapes(self) -> dict[str, int | str]:
        """Everything that decides how much work it is, for the record."""
        return {
            "policy": self.network.model_type if self.network else self.policy.architecture,
            "hidden": self.network.hidden_size if self.network else self.policy.hidden_size,
            "vocabulary": self.network.vocab_size if self.network else self.policy.vocabulary_size,
            "tuned": f"LoRA of rank {self.policy.lora_rank}" if self.policy.lora_rank else self.policy.tuned,
            "batch": self.ppo.batch_size,
            "responses_per_prompt": self.ppo.responses_per_prompt,
            "mini_batch": self.ppo.mini_batch_size,
            "accumulation_steps": self.ppo.accumulation_steps,
            "epochs": self.ppo.epochs,
            "prompt_tokens": self.ppo.max_prompt_tokens,
            "response_tokens": self.ppo.max_new_tokens,
        }


def without_surprises(ppo: PPOSettings) -> PPOSettings:
    """The same updates, with nothing that would leave out part of them: no early stop, no guard, next to no change."""
    return replace(ppo, learning_rate=1e-7, value_learning_rate=None, early_stop_kl=math.inf, max_ratio=math.inf)


SCORERS = {
    "long_form_qa": ("holistic", "factuality", "relevance", "completeness", "length"),
    "wmt": ("holistic", "grammar", "confidence", "readability", "length"),
}
SMALL_TRAINING = RewardModelWork(
    RewardModelSettings(steps=5, batch_size=64, learning_rate=1e-6),
    RecipeSettings(ensemble_size=5, ensemble_steps=2, left_out_folds=2, meta_steps=2, meta_prompts=32),
    pairs=320,
)
LARGE_TRAINING = RewardModelWork(
    RewardModelSettings(steps=4, batch_size=4, learning_rate=1e-6),
    RecipeSettings(ensemble_size=2, ensemble_steps=2, left_out_folds=1, meta_steps=2, meta_prompts=2),
    pairs=16,
)


def _of_preset(scale: str, task: str, prompt_tokens: int) -> Workload:
    own = preset(scale, task)
    return Workload(
        name=f"{scale}-{task}",
        task=task,
        policy=own.policy,
        ppo=without_surprises(replace(own.ppo, max_prompt_tokens=prompt_tokens)),
        reward=own.reward,
        scorers=SCORERS[task],
        training=SMALL_TRAINING,
    )


def for_peers(name: str, policy: PolicySettings, *, batch: int, new_tokens: int) -> Workload:
    """All weights tuned in fp32, 4 epochs of one mini-batch, prompts of 32 tokens, per-token rewards of two scorers."""
    ppo = PPOSettings(
        batch_size=batch, mini_batch_size=batch, epochs=4, max_prompt_tokens=32, max_new_tokens=new_tokens
    )
    return Workload(
        name=name,
        task="long_form_qa",
        policy=policy,
        ppo=without_surprises(ppo),
        reward=RewardSettings(),
        scorers=("holistic", "factuality"),
    )


_SMALL = PolicySettings(vocabulary_size=512, hidden_size=128, feedforward_size=512, heads=4)
_LARGE = PolicySettings(vocabulary_size=512, hidden_size=512, feedforward_size=2048, layers=6, heads=4)
W1 = for_peers("W1", replace(_SMALL, architecture="causal", layers=4), batch=64, new_tokens=32)
W2 = for_peers("W2", replace(_SMALL, architecture="seq2seq", layers=2), batch=64, new_tokens=32)
W3 = for_peers("W3", replace(_LARGE, architecture="causal"), batch=32, new_tokens=64)
W3_T5 = for_peers("W3-t5", replace(_LARGE, architecture="seq2seq"), batch=32, new_tokens=64)

PAPER_QA = Workload(
    name="paper-long_form_qa",
    task="long_form_qa",
    policy=LONG_FORM_QA.policy,
    ppo=without_surprises(LONG_FORM_QA.ppo),
    reward=LONG_FORM_QA.reward,
    scorers=("holistic", "factuality", "relevance", "completeness"),
    training=LARGE_TRAINING,
    network=t5_large(),
    holistic=llama_13b(),
    aspects=longformer_base(),
    rounds=3,
)
PAPER_WMT = Workload(
    name="paper-wmt",
    task="wmt",
    policy=WMT.policy,
    ppo=without_surprises(WMT.ppo),
    reward=WMT.reward,
    # The paper's checker needs Java and a download; Harper stands in for it.
    scorers=("holistic", "grammar"),
    network=mt5_base(),
    holistic=llama_13b(),
    rounds=3,
)

WORKLOADS: dict[str, tuple[Workload, ...]] = {
    "tiny": (*(_of_preset("tiny", task, tokens) for task, tokens in WORLD_PROMPT_TOKENS.items()), W1, W2),
    "small": (_of_preset("small", "wmt", MULTI30K_PROMPT_TOKENS), W3, W3_T5),
    "paper": (PAPER_QA, PAPER_WMT),
}
"""What is measured at each scale."""
