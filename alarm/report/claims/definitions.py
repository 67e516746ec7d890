"""The claims: what each says, who says it, and what is measured. An effect is positive where a claim is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from alarm.report.claims.effects import (
    ORACLE_BAR,
    calmer_training,
    equal_kl_difference,
    gain_over_start,
    gap_difference,
    gold_difference,
    meta_gold,
    meta_spread,
    over_optimisation,
    sampled_difference,
    selected_over_best_other,
)
from alarm.report.claims.evidence import Effect, Evidence
from alarm.report.claims.study_effects import (
    contrastive_on_shifted,
    denoised_accuracy,
    premise,
    strength_finds_wrong_labels,
)
from alarm.report.runs import ALL_GOOD

ALARM_PAPER = "ALaRM (arXiv:2403.06754)"
TRANSFORMING = "Transforming and combining rewards (arXiv:2402.00742)"
SECRETS = "Secrets of RLHF II and MetaRM (arXiv:2401.06080)"
CONTROLS = "What must be seen in any world"


@dataclass(frozen=True)
class Claim:
    """One published claim."""

    id: str
    statement: str
    """In plain English, short enough for a row's label."""
    source: str
    definition: str
    """What is measured, with its unit."""
    effect: Callable[[Evidence], Effect]
    """Raises `NotOnRecord`, with what is missing and the option that adds it."""
    seeded: bool = True
    """Whether seeds of PPO are in it."""
    methods: tuple[str, ...] = ()
    """Whose runs it reads."""


def _beats(identity: str, statement: str, source: str, better: str, worse: str) -> Claim:
    definition = f"sampled gold of `{better}` minus `{worse}`, points"
    effect = partial(gold_difference, better=better, worse=worse)
    return Claim(identity, statement, source, definition, effect, methods=(better, worse))


def _at_equal_kl(identity: str, statement: str, raw: str, transformed: str) -> Claim:
    definition = (
        f"gold win rate over SFT samples at the largest KL that all runs of both reach: `{transformed}` minus "
        f"`{raw}`, percentage points"
    )
    effect = partial(equal_kl_difference, raw=raw, transformed=transformed)
    return Claim(identity, statement, TRANSFORMING, definition, effect, methods=(raw, transformed))


CLAIMS = (
    Claim(
        "premise",
        "The holistic reward is less reliable among good responses",
        ALARM_PAPER,
        "share of pairs of SFT samples of one dev prompt that the holistic reward orders as gold does: lower half of "
        "the pairs by mean gold minus the upper half, percentage points",
        premise,
        seeded=False,
    ),
    _beats("alarm_holistic", "ALaRM beats the holistic reward alone", ALARM_PAPER, "alarm", "holistic_only"),
    _beats("alarm_sum", "ALaRM beats the weighted sum", ALARM_PAPER, "alarm", "weighted_sum"),
    _beats("alarm_aspect", "ALaRM beats the aspect reward alone", ALARM_PAPER, "alarm", "aspect_only"),
    Claim(
        "selection",
        "The selected aspect is the best one inside ALaRM",
        ALARM_PAPER,
        "sampled gold of `alarm` minus that of the best run of ALaRM with another aspect, points; where it is "
        "negative, p is multiplied by the number of others, since the best of them was picked",
        selected_over_best_other,
        methods=("alarm",),
    ),
    _beats("placement", "The released score placement learns less", ALARM_PAPER, "alarm", "alarm_as_released"),
    _at_equal_kl("equal_kl", "The log-sigmoid reaches more gold at equal KL", "holistic_only", "log_sigmoid"),
    _at_equal_kl("equal_kl_sum", "The AND-sum reaches more gold at equal KL", "raw_sum", "log_sigmoid_sum"),
    Claim(
        "and_sum",
        "The AND-sum has more responses without fault than the raw sum",
        TRANSFORMING,
        "share of sampled responses that gold finds good in all properties: `log_sigmoid_sum` minus `raw_sum`, "
        "percentage points",
        partial(sampled_difference, better="log_sigmoid_sum", worse="raw_sum", score=ALL_GOOD, factor=1.0),
        methods=("log_sigmoid_sum", "raw_sum"),
    ),
    Claim(
        "gap",
        "The log-sigmoid narrows the gap between proxy and gold",
        TRANSFORMING,
        "gain in the holistic reward minus gain in gold over SFT samples, each in sd of the SFT samples, per sampled "
        "response: `holistic_only` minus `log_sigmoid`, percent of an sd",
        partial(gap_difference, raw="holistic_only", transformed="log_sigmoid"),
        methods=("holistic_only", "log_sigmoid"),
    ),
    Claim(
        "strength",
        "Low preference strength finds wrong labels",
        SECRETS,
        "area under the ROC curve of cross-fitted strength as a detector of wrong training labels, in points "
        "(hundredths) above .5",
        strength_finds_wrong_labels,
        seeded=False,
    ),
    Claim(
        "denoising",
        "Denoised recipes agree with gold more often at ≥ 30 % wrong labels",
        SECRETS,
        "accuracy on held-out pairs labelled by gold: mean of the denoised recipes minus `plain`, percentage points, "
        "paired by training seed",
        denoised_accuracy,
        seeded=False,
    ),
    Claim(
        "calm",
        "Denoised reward models train more calmly",
        SECRETS,
        "worst drop of a run's gold on dev, from the SFT policy on: `holistic_only` minus `denoised_rm`, points",
        partial(calmer_training, calm="denoised_rm", baseline="holistic_only"),
        methods=("denoised_rm", "holistic_only"),
    ),
    Claim(
        "contrastive",
        "Contrastive terms help on shifted pairs",
        SECRETS,
        "accuracy on pairs of a PPO-trained policy's samples, labelled by gold: mean of SimCSE and SwAV minus "
        "`plain`, percentage points, paired by training seed",
        contrastive_on_shifted,
        seeded=False,
    ),
    Claim(
        "meta_spread",
        "MetaRM keeps telling the policy's samples apart",
        SECRETS,
        "spread of the reward model's scores on samples of the current policy at the end of the last round: "
        "`meta_rm` minus `holistic_only`, percent of the frozen model's spread after the first round",
        meta_spread,
        methods=("meta_rm", "holistic_only"),
    ),
    Claim(
        "meta_gold",
        "MetaRM gains gold in late rounds",
        SECRETS,
        "gold of greedy dev responses at the end of the last round: `meta_rm` minus `holistic_only`, points",
        meta_gold,
        methods=("meta_rm", "holistic_only"),
    ),
    Claim(
        "over_optimisation",
        "A learned reward over-optimises under a weak KL penalty",
        CONTROLS,
        "gold of greedy responses of `holistic_only` minus `holistic_low_kl`, points; decides only where the proxy of "
        "`holistic_low_kl` is higher (arXiv:2210.10760)",
        partial(over_optimisation, careful="holistic_only", greedy="holistic_low_kl"),
        methods=("holistic_only", "holistic_low_kl"),
    ),
    Claim(
        "oracle",
        "Control: gold as the reward raises gold",
        CONTROLS,
        f"sampled gold of `oracle` minus that of SFT samples of the same prompts, points; the bar is {ORACLE_BAR:.0f}",
        partial(gain_over_start, method="oracle"),
        methods=("oracle",),
    ),
)
