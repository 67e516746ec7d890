"""The effect behind each claim about reward models, from the SFT pool and from the study of recipes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alarm.records import RewardModelRecord
from alarm.report.claims.estimates import auc_estimate, contrast_estimate
from alarm.report.claims.evidence import Effect, Evidence, NotOnRecord
from alarm.report.claims.premise import gold_pairs, lower_minus_upper, lower_minus_upper_matched
from alarm.report.recipe_table import sweep_accuracies, swept_set
from alarm.report.studies import PLAIN, Variant, final_accuracies, strengths, variants, wrong_label_share
from alarm.reward_modeling.detection import detector

NOISY = 30.0
"""Percent of wrong labels from which on the claim about denoising speaks."""
SHIFTED = "shifted"
CONTRASTIVE_TARGET = "pair"
"""What contrastive terms stand on in the seeds of all recipes."""


def premise(evidence: Evidence) -> Effect:
    """Agreement of holistic reward and gold: lower half of the SFT policy's pairs minus the upper half, in points."""
    if evidence.pool is None:
        raise NotOnRecord("scored samples of the SFT policy on dev: run the setup again")
    pairs = gold_pairs(evidence.pool)
    if pairs is None:
        raise NotOnRecord("dev samples of the SFT policy that differ in gold")
    matched = lower_minus_upper_matched(pairs)
    note = f"where gold differs alike: {matched.value:+.1f} [{matched.low:.1f}, {matched.high:.1f}]"
    return Effect(lower_minus_upper(pairs), note=f"{note}; {len(pairs.agrees)} pairs of {pairs.prompts} prompts")


def strength_finds_wrong_labels(evidence: Evidence) -> Effect:
    """Area under the ROC curve of cross-fitted strength, in points above chance."""
    study = _study(evidence)
    found = strengths(study, "cross_fitted")
    if found is None or study.wrong is None:
        raise NotOnRecord("cross-fitted strength and which labels are wrong: add `--full`")
    effect = auc_estimate(found["mean"], study.wrong)
    at_zero = detector(found["mean"], study.wrong)
    flagged = f"strength < 0 flags {100 * at_zero['flagged_share']:.0f} % of pairs"
    return Effect(effect, note=f"{flagged}, of which {100 * at_zero['precision']:.0f} % are wrong")


def denoised_accuracy(evidence: Evidence) -> Effect:
    """Accuracy on gold pairs, mean of the denoised recipes minus plain, percentage points, paired by training seed.

    At the share of wrong labels of 30 % or more that has the most training seeds, the highest share of those.
    """
    study = _study(evidence)
    levels = {share: found for share, found in _levels(study).items() if share >= NOISY and len(found) > 1}
    if not levels:
        own = wrong_label_share(study)
        known = "" if own is None else f" (the study's own labels: {own:.0f} %)"
        raise NotOnRecord(f"trainings at {NOISY:.0f} % wrong labels or more{known}: add `--full`")
    common = {share: set.intersection(*map(set, found.values())) for share, found in levels.items()}
    share = max(levels, key=lambda level: (len(common[level]), level))
    found, seeds = levels[share], sorted(common[share])
    recipes = [PLAIN, *sorted(found.keys() - {PLAIN})]
    table = np.array([[found[recipe][seed] for seed in seeds] for recipe in recipes]).reshape(len(recipes), len(seeds))
    gains = {level: _gain(levels[level], common[level]) for level in levels if common[level]}
    shown = "; ".join(f"at {level:.0f} % wrong labels {gain:+.1f}" for level, gain in gains.items())
    if len(seeds) < 2:
        raise NotOnRecord(f"a second training seed, for an interval ({shown or 'no common seed'})")
    weights = [-1.0] + [1 / (len(recipes) - 1)] * (len(recipes) - 1)
    note = f"judged at {share:.0f} % wrong labels, on {study.validation_sets[swept_set(study)]['label']}; {shown}"
    return Effect(contrast_estimate(table, weights), len(seeds), note)


def contrastive_on_shifted(evidence: Evidence) -> Effect:
    """Accuracy on shifted pairs, mean of SimCSE and SwAV minus plain, percentage points, paired by training seed."""
    study = _study(evidence)
    values = {variant: final_accuracies(study, variant, SHIFTED) for variant in variants(study)}
    plain = (PLAIN, None)
    terms = [variant for variant in values if variant[1] == CONTRASTIVE_TARGET and values[variant]]
    if not terms or not values.get(plain):
        raise NotOnRecord("plain and contrastive trainings measured on shifted pairs: add `--full`")
    seeds = sorted(set.intersection(*(set(values[variant]) for variant in (plain, *terms))))
    # All recipes with these seeds tell how much trainings differ by chance.
    rows = [variant for variant, found in values.items() if set(seeds) <= found.keys()]
    table = np.array([[values[variant][seed] for seed in seeds] for variant in rows]).reshape(len(rows), len(seeds))
    weights = [-1.0 if row == plain else 1 / len(terms) if row in terms else 0.0 for row in rows]
    shown = ", ".join(f"{variant[0]} {_mean(values[variant]) - _mean(values[plain]):+.1f}" for variant in terms)
    pairs = study.validation_sets[SHIFTED]["pairs"]
    return Effect(contrast_estimate(table, weights), len(seeds), f"{shown}; {pairs} pairs")


def _study(evidence: Evidence) -> RewardModelRecord:
    if evidence.study is None:
        raise NotOnRecord("no study of reward-model recipes: add `--full`")
    return evidence.study


def _levels(study: RewardModelRecord) -> dict[float, dict[str, Mapping[int, float]]]:
    """Percent of wrong labels to recipe to seed to accuracy: the sweep, and the study's own labels."""
    levels = dict(sweep_accuracies(study))
    own = wrong_label_share(study)
    if own is not None:
        name = swept_set(study)
        recipes: list[Variant] = [variant for variant in variants(study) if variant[1] is None]
        levels[own] = {recipe: final_accuracies(study, (recipe, None), name) for recipe, _ in recipes}
    return {share: found for share, found in sorted(levels.items()) if PLAIN in found}


def _gain(found: Mapping[str, Mapping[int, float]], seeds: set[int]) -> float:
    means = {recipe: float(np.mean([values[seed] for seed in seeds])) for recipe, values in found.items()}
    return float(np.mean([mean for recipe, mean in means.items() if recipe != PLAIN])) - means[PLAIN]


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values())))
