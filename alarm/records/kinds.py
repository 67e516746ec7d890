"""What records hold: one dataclass per kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Generation:
    """One test example's response."""

    id: str
    response: str
    length: int
    """Generated tokens, the end token included."""
    scores: Mapping[str, float]
    """Raw value of every score: `holistic` (z-normalised), `holistic_raw`, every aspect's, `gold`."""
    spans: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    """Where an aspect's rewards lie: [start, end, value] per span, in characters of the response, `end` exclusive; only
    aspects that reward parts of a response (sentences, words) are named."""
    habit: str = ""
    """Which writer of a generated world it looks like; empty where the task knows no habits."""


@dataclass(frozen=True)
class PromptRow:
    """One test prompt that the runs answer."""

    id: str
    prompt: str
    """Exactly what the policy reads."""
    reference: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the source file says besides, such as `source` of a translation, or `question` and `passages`."""


@dataclass(frozen=True)
class RunRecord:
    """One finished (or failed) run: task x method x seed at a scale, with everything its numbers depend on."""

    task: str
    method: str
    aspect: str
    """The aspect whose reward was used, given or selected."""
    recipe: str
    scale: str
    seed: int
    settings: Mapping[str, Any]
    """The preset, the same for all runs of a scale and task."""
    environment: Mapping[str, Any]
    """`alarm.environment.environment()`: versions, commit, dirty flag, device."""
    data_fingerprint: str
    started: str
    """ISO 8601, UTC."""
    finished: str
    durations: Mapping[str, float]
    """Seconds by phase, e.g. rollout, scoring, update, evaluation, total."""
    history: Sequence[Mapping[str, Any]]
    """One row per PPO iteration: iteration, reward, holistic, gold, kl, entropy, length, and whatever else was logged;
    None where a number was not measured, as `dev_gold` between evaluations."""
    metrics: Mapping[str, Mapping[str, Any]]
    """`test` and `sft`: means per score name over greedy test responses, and of the length as `tokens`;
    `test_sampled` and `sft_sampled`: the same over samples; `corpus`: metrics of a whole set of greedy responses, each
    with `name`, `value` and `signature`."""
    directions: Mapping[str, bool]
    """Score name to whether higher is better."""
    score_labels: Mapping[str, str]
    """Score name to how tables print it."""
    aspect_given: bool = False
    """True if the aspect was named by the user rather than selected; it is then part of the run's name."""
    generations: Mapping[str, Any] | None = None
    """Name, sha256 and number of lines of the file of greedy test responses, set by `write_record`."""
    samples: Mapping[str, Any] | None = None
    """The same of the file of test responses sampled at temperature 1, one per prompt."""
    error: str | None = None
    """Why and where the run stopped, if it failed."""
    method_settings: Mapping[str, Any] = field(default_factory=dict)
    """What only this run's method depends on, e.g. a hash of its source."""
    path: Path | None = field(default=None, compare=False)
    """Where the record was read from; not part of the file."""

    @property
    def run_name(self) -> str:
        return run_name(self.method, self.aspect if self.aspect_given else None)

    @property
    def hardware(self) -> str:
        """The hardware class, e.g. `CPU: Intel Xeon, 1 thread`."""
        return str(self.environment.get("hardware", "hardware unknown"))

    @property
    def hardware_kind(self) -> str:
        """`cpu` or `gpu`; numbers of different kinds never share a column."""
        return hardware_kind(self.environment)


@dataclass(frozen=True)
class SelectionRecord:
    """Proactive selection (arXiv:2403.06754, section 3.1) over greedy and sampled responses of the SFT policy."""

    task: str
    scale: str
    selected: str
    inconsistency: Mapping[str, Mapping[str, Any]]
    """`Inconsistency.to_dict()` of every aspect, in the order of the paper's tables."""
    greedy_win_rate: Mapping[str, Mapping[str, Any]]
    """`WinRate` counts of greedy against sampled responses, by `holistic` and by every aspect."""
    gold_win_rate: Mapping[str, Any] | None
    """The same by gold quality, None where it is unknown."""
    pairs: int
    split: str
    score_labels: Mapping[str, str]
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class SetupRecord:
    """What all runs of a task share: SFT quality, annotator noise, reward-model accuracies, normalisation constants."""

    task: str
    scale: str
    facts: Mapping[str, Any]
    """Section to (nested) names to values, printed in this order."""
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class BestOfKRecord:
    """Best-of-k from one pool of SFT samples per prompt (arXiv:2402.00742): what each selector's choice is worth."""

    task: str
    scale: str
    pool: int
    """SFT samples per prompt, n."""
    split: str
    ks: Sequence[int]
    kl: Sequence[float]
    """Nats, log k - (k - 1) / k, one per k."""
    selectors: Mapping[str, Mapping[str, Any]]
    """Selector name to `description` and to [K][P] lists, one value per k and prompt, each the mean over all subsets of
    k samples: `gold`; `win_rate`, percent, by gold against one SFT sample, a tie counting half; `all_good`, share of
    chosen responses that gold finds good in every property (absent where properties have no gold)."""
    properties: Sequence[str]
    """What the sums run over, `holistic` first."""
    gold_name: str
    finished: str
    """ISO 8601, UTC."""
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class PoolRecord:
    """Samples of the SFT policy on dev prompts with all their scores: what is known of rewards before any PPO."""

    task: str
    scale: str
    samples: int
    """Per prompt, k."""
    scores: Mapping[str, Sequence[Sequence[float]]]
    """Score name, as in `Generation.scores`, to [P][k] values."""
    habits: Sequence[Sequence[str]]
    """[P][k], as `Generation.habit`; empty where the task knows none."""
    demonstrators: Sequence[Mapping[str, Any]]
    """The writers that the SFT policy imitates: `name`, `share`, `description`; empty where the task knows none."""
    held_out: Mapping[str, Any]
    """The holistic model on held-out pairs labelled by gold: `pairs`, `accuracy` (percent)."""
    score_labels: Mapping[str, str]
    directions: Mapping[str, bool]
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class RewardModelRecord:
    """A study of reward-model recipes on one source of comparisons (arXiv:2401.06080)."""

    source: str
    """A task's name, or a data set's, such as `hh_harmless`."""
    scale: str
    facts: Mapping[str, Any]
    """Counts and settings, printed in this order."""
    validation_sets: Mapping[str, Mapping[str, Any]]
    """Set name (`noisy`: the annotators' labels, `gold`: true labels, `agreeing`: pairs where both agree, `shifted`:
    gold labels on samples of a PPO-trained policy) to `label`, how tables print it, and `pairs`."""
    heuristics: Mapping[str, Mapping[str, float]]
    """Scores that need no training, such as `length`, to their accuracy per validation set."""
    strength: Mapping[str, Mapping[str, Any]]
    """`in_sample` and `cross_fitted` to `mean` and `sd`, [P] lists over the training pairs, and `models`, how many
    models score each pair."""
    wrong: Sequence[bool | None] | None
    """[P], whether a training pair's label is wrong; None where gold is equal, or for all if truth is unknown."""
    deciles: Sequence[Mapping[str, Any]]
    """A model trained on one strength decile alone: `decile` (0 the weakest), `seed`, `accuracy` per validation set."""
    curves: Sequence[Mapping[str, Any]]
    """One training: `recipe`, `target` (of a contrastive term, else None), `seed`, `steps` [E] and `accuracy`, per
    validation set [E] values, the last at the end of training."""
    sweep: Sequence[Mapping[str, Any]]
    """The same at other noise: `error_rate`, `wrong_label_share`, `recipe`, `seed`, `accuracy` per validation set."""
    finished: str
    """ISO 8601, UTC."""
    seconds: float
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class JudgeRecord:
    """Pairwise verdicts of a language-model judge on test responses, both orders asked (arXiv:2403.06754, 4.1)."""

    task: str
    scale: str
    judge: str
    """As asked for, e.g. `openai:gpt-4o-mini`."""
    facts: Mapping[str, Any]
    """Model as the server named it, prompt version and hash, settings, requests, tokens, cost: whatever the verdicts
    depend on or cost; never a key."""
    comparisons: Sequence[Mapping[str, Any]]
    """One per ordered pair of runs and seed: `row`, `column` (run names, `sft` for the SFT policy), `seed`, `ids` [P],
    `verdicts` [P] of `row` against `column` (`win`, `lose`, `tie`, `invalid`), and `choices` [P][2]: what was chosen
    when `row` stood first, then when it stood second: `first`, `second`, `tie`, or why there is no choice (`refusal`,
    `unparsable`, `missing`). Equal responses are a `tie` with choices `equal`; they are never asked."""
    finished: str
    """ISO 8601, UTC."""
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class MetricRecord:
    """A metric of single responses that was computed after the runs, such as COMET, on their test responses."""

    task: str
    scale: str
    name: str
    """E.g. `comet`."""
    label: str
    """How tables print it."""
    higher_is_better: bool
    facts: Mapping[str, Any]
    """Checkpoint, its hash, class, package version."""
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Run name (`sft` for the SFT policy) to seed (as text; `0` for the SFT policy) to prompt id to score."""
    finished: str
    """ISO 8601, UTC."""
    environment: Mapping[str, Any]


def hardware_kind(environment: Mapping[str, Any]) -> str:
    """`cpu` or `gpu`, of what `alarm.environment.environment()` said."""
    return "gpu" if str(environment.get("device", "cpu")).startswith("cuda") else "cpu"


def run_name(method: str, aspect: str | None = None) -> str:
    """The method's name, with the aspect where one was given: `alarm`, `alarm+relevance`."""
    return f"{method}+{aspect}" if aspect else method
