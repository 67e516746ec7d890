"""The effect behind each claim about policies: from a task's evidence to a number that is positive as claimed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.seeds import seed_spread
from alarm.evaluation.statistics import LEVEL, bootstrap_mean
from alarm.records import RunRecord
from alarm.report.claims.estimates import seeds_estimate
from alarm.report.claims.evidence import Effect, Evidence, NotOnRecord
from alarm.report.comparisons import BOOTSTRAP_SEED, paired_gains
from alarm.report.gold_over_kl import PAIRS, win_rates_at_equal_kl
from alarm.report.meta_rounds import ADAPTED, FROZEN, METHODS, Round, common_golds, rounds_of
from alarm.report.runs import VARIED_METHOD, TaskRuns
from alarm.report.stability_table import PROXY, final_kl, sft_dev_gold, worst_drop
from alarm.report.win_tables import GOLD

POINTS = 100
"""Of quality, which runs from 0 to 1."""
ORACLE_BAR = 15.0
"""Points of gold that `oracle` must gain for a world to be worth anything."""


def sampled_difference(evidence: Evidence, better: str, worse: str, score: str, factor: float) -> Effect:
    """Mean difference of two methods in a score of sampled test responses, paired by prompt and seed."""
    evidence.require_samples(better, worse)
    return _difference(evidence.sampled, better, worse, score, factor)


def gold_difference(evidence: Evidence, better: str, worse: str) -> Effect:
    """The same in gold quality, in points."""
    return sampled_difference(evidence, better, worse, GOLD, POINTS)


def selected_over_best_other(evidence: Evidence) -> Effect:
    """ALaRM with the selected aspect minus the best ALaRM with another one, by sampled gold, in points.

    The other is chosen because it came out best, so a negative difference counts as one of several.
    """
    runs = evidence.sampled
    prefix = f"{VARIED_METHOD}+"
    others = [name for name in runs.finished if name.startswith(prefix) and name != f"{prefix}{runs.aspect}"]
    if not others:
        raise NotOnRecord("no run of ALaRM with another aspect: add `--full`")
    effects = {name: gold_difference(evidence, VARIED_METHOD, name) for name in others}
    best = min(effects, key=lambda name: effects[name].estimate.value)
    found = effects[best].estimate
    p = min(1.0, found.p * len(others)) if found.value < 0 else found.p
    known = evidence.runs.selection.inconsistency if evidence.runs.selection else ()
    absent = [aspect for aspect in known if aspect != runs.aspect and f"{prefix}{aspect}" not in others]
    without = f"; no run with {', '.join(absent)}: add `--full`" if absent else ""
    note = f"selected: {runs.aspect}; best other: {best.removeprefix(prefix)} of {len(others)}{without}"
    return replace(effects[best], estimate=replace(found, p=p), note=note)


def equal_kl_difference(evidence: Evidence, raw: str, transformed: str) -> Effect:
    """Gold win rate over the SFT policy at the largest common KL, transformed minus raw, percentage points."""
    evidence.require(raw, transformed)
    found = win_rates_at_equal_kl(evidence.runs, (raw, transformed))
    if found is None:
        raise NotOnRecord(f"win rates over the SFT policy during training of {raw} and {transformed}: run them again")
    kl, rates = found
    others = [win_rates_at_equal_kl(evidence.runs, pair) for pair in PAIRS]
    within = [list(seeds.values()) for pair in others if pair for seeds in pair[1].values()]
    differences = _paired(rates[transformed], rates[raw], transformed, raw)
    means = {name: float(np.mean(list(values.values()))) for name, values in rates.items()}
    note = f"at {kl:.1f} nats; {raw} {means[raw]:.0f} %, {transformed} {means[transformed]:.0f} %"
    return Effect(seeds_estimate(differences, within), len(differences), note)


def gap_difference(evidence: Evidence, raw: str, transformed: str) -> Effect:
    """How much wider the gap between proxy and gold is under the raw reward, in percent of an SFT standard deviation.

    The gap of a response is its holistic reward minus its gold quality, each as a gain over the SFT policy's sample in
    sd over these samples; in a difference of two methods the sample itself drops out.
    """
    evidence.require_samples(raw, transformed)
    runs = evidence.sampled
    sds = {score: _sd(runs.sft_scores(score).values()) for score in (PROXY, GOLD)}
    if not all(sds.values()):
        raise NotOnRecord("scored test samples of the SFT policy: run the setup again")
    differences, notes = 0.0, []
    for score, sign in ((PROXY, 1), (GOLD, -1)):
        first, second = _aligned(runs, raw, transformed, score)
        change = 100 * (first - second) / sds[score]
        differences = differences + sign * change
        notes.append(f"{'proxy' if score == PROXY else 'gold'} {change.mean():+.0f} %")
    spread = seed_spread([_gaps(runs, name, sds) for name in runs.finished])
    note = f"{raw} minus {transformed}: {', '.join(notes)} of an SFT sd"
    return Effect(bootstrap_mean(differences, seed=BOOTSTRAP_SEED, spread=spread), len(differences), note)


def calmer_training(evidence: Evidence, calm: str, baseline: str) -> Effect:
    """Worst drop of a run's own gold curve on dev: the baseline's minus the other's, in points, paired by seed."""
    evidence.require(calm, baseline)
    runs = evidence.runs
    drops = {name: _drops(runs.finished[name]) for name in runs.methods if name in runs.finished}
    if not drops[calm] or not drops[baseline]:
        raise NotOnRecord(f"gold on dev during training of {calm} and {baseline}: run them again")
    differences = _paired(drops[baseline], drops[calm], baseline, calm)
    named = ", ".join(f"{name} {np.mean(list(drops[name].values())):.1f}" for name in (baseline, calm))
    kls = ", ".join(f"{name} {_mean_kl(runs, name):.1f}" for name in (baseline, calm))
    note = f"mean worst drop: {named}; final KL in nats: {kls}"
    return Effect(seeds_estimate(differences, [list(d.values()) for d in drops.values()]), len(differences), note)


def meta_spread(evidence: Evidence) -> Effect:
    """Spread of the reward model's scores on the policy's samples in the last round, MetaRM minus frozen.

    In percent of the frozen model's spread in the first round, before any update.
    """
    rounds, last = _rounds(evidence)
    start = rounds[FROZEN].get(1)
    ends = {method: rounds[method][last].spread for method in METHODS}
    if start is None or not start.spread or not all(ends.values()):
        raise NotOnRecord("the spread of scores by rounds: run both methods again")
    unit = 100 / float(np.mean(list(start.spread.values())))
    ends = {method: {seed: unit * value for seed, value in values.items()} for method, values in ends.items()}
    differences = _paired(ends[ADAPTED], ends[FROZEN], ADAPTED, FROZEN)
    left = ", ".join(f"{method} {np.mean(list(values.values())):.0f} %" for method, values in ends.items())
    estimate = seeds_estimate(differences, [list(values.values()) for values in ends.values()])
    return Effect(estimate, len(differences), f"left after {last} rounds: {left}")


def meta_gold(evidence: Evidence) -> Effect:
    """Gold of greedy dev responses at the end of the last round, MetaRM minus frozen, in points."""
    rounds, last = _rounds(evidence)
    both = common_golds(rounds, last)
    if both is None:
        raise NotOnRecord("gold on dev by rounds: run both methods again")
    spread = seed_spread([rounds[method][last].golds for method in METHODS])
    estimate = bootstrap_mean(POINTS * (both[0] - both[1]), seed=BOOTSTRAP_SEED, spread=spread)
    return Effect(estimate, len(both[0]), f"round {last}")


def over_optimisation(evidence: Evidence, careful: str, greedy: str) -> Effect:
    """Gold of greedy responses that is lost where the KL penalty hardly holds the policy back, in points.

    Greedy, because a policy that only becomes surer of what it did before gains in sampled gold. It decides only where
    the learned reward rose: with p < .05 for it alone.
    """
    effect = _difference(evidence.runs, careful, greedy, GOLD, POINTS)
    proxy = _difference(evidence.runs, greedy, careful, PROXY, 1.0).estimate
    sampled = gold_difference(evidence, careful, greedy).estimate
    kls = ", ".join(f"{name} {_mean_kl(evidence.runs, name):.1f}" for name in (greedy, careful))
    rose = proxy.value > 0 and proxy.p < LEVEL
    note = (
        f"proxy {proxy.value:+.2f} z [{proxy.low:.2f}, {proxy.high:.2f}]; by sampled gold {sampled.value:+.1f} "
        f"[{sampled.low:.1f}, {sampled.high:.1f}]; final KL in nats: {kls}"
    )
    return replace(effect, note=note, undecidable="" if rose else f"the proxy of {greedy} is not higher")


def gain_over_start(evidence: Evidence, method: str) -> Effect:
    """Sampled gold after training minus that of the SFT policy's samples, in points."""
    evidence.require_samples(method)
    found = paired_gains(evidence.sampled, method, GOLD)
    if found is None:
        raise NotOnRecord("test samples of the SFT policy with gold quality: run the setup again")
    spread = evidence.sampled.seed_spread(GOLD)
    estimate = bootstrap_mean(POINTS * found.gains, seed=BOOTSTRAP_SEED, spread=spread)
    reached = "reached" if estimate.value >= ORACLE_BAR else "missed"
    return Effect(estimate, len(found.seeds), f"the bar of {ORACLE_BAR:.0f} points is {reached}")


def _difference(runs: TaskRuns, better: str, worse: str, score: str, factor: float) -> Effect:
    """Mean difference of two methods in a score of their test responses, paired by prompt and seed."""
    tables = _aligned(runs, better, worse, score)
    differences = factor * (tables[0] - tables[1])
    return Effect(bootstrap_mean(differences, seed=BOOTSTRAP_SEED, spread=runs.seed_spread(score)), len(differences))


def _aligned(runs: TaskRuns, first: str, second: str, score: str) -> tuple[NDArray, NDArray]:
    aligned = runs.aligned([first, second], score)
    if not aligned.seeds:
        raise NotOnRecord(f"a common seed of {first} and {second}")
    if not aligned.ids:
        raise NotOnRecord(f"{runs.label(score)} of the test responses")
    return aligned.scores[first], aligned.scores[second]


def _paired(first: Mapping[int, float], second: Mapping[int, float], first_name: str, second_name: str) -> list[float]:
    common = sorted(first.keys() & second.keys())
    if not common:
        raise NotOnRecord(f"a common seed of {first_name} and {second_name}")
    return [first[seed] - second[seed] for seed in common]


def _sd(values: Iterable[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.std(finite)) if finite else 0.0


def _gaps(runs: TaskRuns, name: str, sds: Mapping[str, float]) -> NDArray:
    """[S, P], a run's proxy minus its gold, each in sd; empty where a score is missing or prompts differ."""
    proxy, gold = (runs.aligned([name], score) for score in (PROXY, GOLD))
    if proxy.ids != gold.ids:
        return np.empty((0, 0))
    return proxy.scores[name] / sds[PROXY] - gold.scores[name] / sds[GOLD]


def _drops(records: Mapping[int, RunRecord]) -> dict[int, float]:
    """Seed to the worst drop of gold on dev along the run, from the SFT policy on, in points."""
    found = {}
    for seed, record in records.items():
        start = sft_dev_gold(record)
        values = [start] if start is not None else []
        values += [row["dev_gold"] for row in record.history if row.get("dev_gold") is not None]
        if len(values) > 1:
            found[seed] = POINTS * worst_drop(values)[0]
    return found


def _mean_kl(runs: TaskRuns, name: str) -> float:
    known = [kl for record in runs.finished[name].values() if (kl := final_kl(record)) is not None]
    return float(np.mean(known)) if known else float("nan")


def _rounds(evidence: Evidence) -> tuple[dict[str, dict[int, Round]], int]:
    """Rounds of both methods, and the last that both have."""
    evidence.require(*METHODS)
    rounds = {method: rounds_of(evidence.runs, method) for method in METHODS}
    common = set.intersection(*(set(found) for found in rounds.values()))
    if not common:
        raise NotOnRecord(f"rounds of {' and '.join(METHODS)}: run them again")
    return rounds, max(common)
