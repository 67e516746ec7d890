"""Two runs side by side on one screen: means, win rates, intervals, significance, and what the sample could show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alarm.evaluation.effects import minimum_detectable_difference, sign_test
from alarm.evaluation.ranking import mean_outcomes
from alarm.evaluation.seeds import seed_spread
from alarm.evaluation.statistics import LEVEL, bootstrap_mean, bootstrap_win_rate, holm
from alarm.report.captions import period
from alarm.report.comparisons import BOOTSTRAP_SEED
from alarm.report.judge_table import judge_title
from alarm.report.pairing import Paired, common_seeds, known_scores, paired, runs_on_record, score_names
from alarm.report.runs import TaskRuns
from alarm.report.tables import number_text
from alarm.report.verdicts import SFT, model_verdicts, responses
from alarm.report.win_tables import GOLD

LABEL_WIDTH = 20
SAMPLED_SCORES = (GOLD, "holistic")
MEANS_HEADER = ("score", "method", "baseline", "difference", "95 % interval", "p", "d", "least")
WINS_HEADER = ("by", "win rate", "95 % interval", "p", "won/tied/lost", "h", "sign p", "least")


def comparison(runs: TaskRuns, method: str, baseline: str, scores: Sequence[str] = ()) -> str:
    """Everything numeric on two runs of one task, of samples and of greedy responses, in at most 100 columns.

    Args:
        method, baseline: run names, `sft` for the SFT policy.
        scores: all that are on record unless given.
    Raises:
        ValueError: the runs share no seed, or have none of the scores in common.
        UnknownNameError: no record has a score of that name.
    """
    if not common_seeds(runs, (method, baseline)):
        raise ValueError(f"{method} and {baseline} of {runs.task} share no seed, so nothing can be paired")
    found = [paired(runs, method, baseline, score) for score in (scores or score_names(runs))]
    pairs = [pair for pair in found if pair is not None]
    samples = _sampled_pairs(runs, method, baseline, scores)
    if not pairs:
        raise ValueError(f"{method} and {baseline} of {runs.task} have no score on common prompts; run them again")
    shown = [*samples, *pairs]
    parts = [_heading(runs, method, baseline, pairs[0]), _means(shown), _wins(runs, method, baseline, shown)]
    parts += [_corpus(runs, method, baseline), READING + (SAMPLES if samples else NO_SAMPLES)]
    return "\n\n".join(part for part in parts if part)


READING = (
    "Means over prompts and seeds. Win rate: 100 wins / (wins + losses) per seed, ties left out; the\n"
    "counts are over all seeds. Intervals: paired bootstrap over prompts, seeds as clusters whose\n"
    "spread is pooled over the task's runs. p: of no difference, corrected over its table (Holm),\n"
    f"* below {LEVEL:g}. d: Cohen's d_z. h: Cohen's h. sign p: exact test of prompts won against lost; it\n"
    "holds for these trained policies, not for further seeds. least: the true difference that a\n"
    "sample like this one finds with a power of 80 %, before correction."
)

SAMPLES = "\nSampled: one response per prompt at temperature 1; the other rows are of greedy responses."
NO_SAMPLES = "\nNo sampled responses of both are on record: all rows are of greedy responses."


def _sampled_pairs(runs: TaskRuns, method: str, baseline: str, scores: Sequence[str]) -> list[Paired]:
    """The same scores of both runs' samples, gold and the holistic reward unless others are asked for."""
    view = runs.sampled
    if view is None or not {method, baseline} <= set(runs_on_record(view)):
        return []
    if not common_seeds(view, (method, baseline)):
        return []
    wanted = [score for score in (scores or SAMPLED_SCORES) if score in known_scores(view)]
    found = [paired(view, method, baseline, score) for score in wanted]
    return [replace(pair, label=f"{pair.label}, sampled") for pair in found if pair is not None]


def _heading(runs: TaskRuns, method: str, baseline: str, pair: Paired) -> str:
    same = [
        _equal_share(responses(runs, method, seed), responses(runs, baseline, seed), pair.ids) for seed in pair.seeds
    ]
    hardware = " / ".join(dict.fromkeys(record.hardware for record in runs.records))
    seeds = f"seed {pair.seeds[0]}" if len(pair.seeds) == 1 else f"{len(pair.seeds)} seeds"
    lines = [
        f"{method} against {baseline}: {runs.task}, scale {runs.scale}",
        f"{seeds}, {len(pair.ids)} prompts, {100 * np.mean(same):.1f} % of the responses equal",
        f"{hardware}; {period(runs.records)}",
    ]
    if len(pair.seeds) == 1:
        lines.append("One seed: intervals and p say nothing about other seeds.")
    return "\n".join(lines)


def _equal_share(ours, theirs, ids: Sequence[str]) -> float:
    shared = [i for i in ids if i in ours and i in theirs]
    return float(np.mean([ours[i].response.strip() == theirs[i].response.strip() for i in shared])) if shared else 0.0


def _means(pairs: Sequence[Paired]) -> str:
    estimates = [bootstrap_mean(pair.differences, seed=BOOTSTRAP_SEED, spread=pair.spread) for pair in pairs]
    rows = []
    for pair, estimate, p in zip(pairs, estimates, holm([e.p for e in estimates]), strict=True):
        means = float(pair.method.mean()), float(pair.baseline.mean())
        digits = 1 if max(map(abs, means)) >= 10 else 3
        rows.append(
            [
                _labelled(pair),
                *(number_text(value, digits) for value in means),
                number_text(estimate.value, digits, sign="+"),
                _interval(estimate.low, estimate.high, digits),
                _p(p),
                number_text(estimate.effect_size, 2, sign="+"),
                number_text(minimum_detectable_difference(estimate), digits),
            ]
        )
    return _grid(rows, MEANS_HEADER)


def _wins(runs: TaskRuns, method: str, baseline: str, pairs: Sequence[Paired]) -> str:
    """By every score that has a better side, and by every language model that judged the two."""
    judged = [(_labelled(pair), pair.outcomes, pair.spread) for pair in pairs if pair.higher_is_better is not None]
    for record in runs.judges:
        verdicts = model_verdicts(runs, record)
        sides = verdicts.outcomes if verdicts else {}
        outcome = sides.get((method, baseline), -sides[baseline, method] if (baseline, method) in sides else None)
        if outcome is not None:
            pooled = seed_spread(list(mean_outcomes(sides).values()))
            judged.append((judge_title(record), outcome, pooled))
    if not judged:
        return ""
    estimates = [
        bootstrap_win_rate([np.nan_to_num(outcome)], seed=BOOTSTRAP_SEED, spread=spread)
        for _, outcome, spread in judged
    ]
    rows = []
    for (label, outcome, _), estimate, p in zip(judged, estimates, holm([e.p for e in estimates]), strict=True):
        counts = [int((outcome == value).sum()) for value in (1, 0, -1)]
        invalid = int(np.isnan(outcome).sum())
        rows.append(
            [
                label + (f" ({invalid} invalid)" if invalid else ""),
                f"{estimate.value:.1f}",
                _interval(estimate.low, estimate.high, 1),
                _p(p),
                "/".join(map(str, counts)),
                number_text(estimate.effect_size, 2, sign="+"),
                _p(sign_test(np.nan_to_num(outcome)).p, mark=False),
                number_text(minimum_detectable_difference(estimate), 1),
            ]
        )
    return _grid(rows, WINS_HEADER)


def _corpus(runs: TaskRuns, method: str, baseline: str) -> str:
    """Metrics of whole sets of responses, which have no interval over prompts; means over the common seeds."""
    ours, theirs = (_corpus_values(runs, name, common_seeds(runs, (method, baseline))) for name in (method, baseline))
    rows = []
    for metric in sorted(ours.keys() & theirs.keys()):
        a, b = (float(np.mean(values[metric])) for values in (ours, theirs))
        rows.append([metric, f"{a:.2f}", f"{b:.2f}", f"{a - b:+.2f}"])
    return _grid(rows, ("whole test set", "method", "baseline", "difference")) if rows else ""


def _corpus_values(runs: TaskRuns, name: str, seeds: Sequence[int]) -> dict[str, list[float]]:
    if name == SFT:
        stated = [record.metrics["sft_corpus"] for record in runs.records if record.metrics.get("sft_corpus")][:1]
    else:
        stated = [runs.finished[name][seed].metrics.get("corpus", {}) for seed in seeds]
    found: dict[str, list[float]] = {}
    for entries in stated:
        for entry in entries.values():
            if entry.get("value") is not None:
                label = entry["name"] + (" (lower wins)" if entry.get("higher_is_better") is False else "")
                found.setdefault(label, []).append(float(entry["value"]))
    return found


def _labelled(pair: Paired) -> str:
    return pair.label + (" (lower wins)" if pair.higher_is_better is False else "")


def _interval(low: float, high: float, digits: int) -> str:
    return f"[{number_text(low, digits)}, {number_text(high, digits)}]"


def _p(p: float, *, mark: bool = True) -> str:
    text = "<0.001" if p < 0.001 else f"{p:.3f}"
    return f"{text}{'*' if mark and p < LEVEL else ' '}"


def _grid(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    from tabulate import tabulate

    align = ("left", *["right"] * (len(header) - 1))
    widths = [LABEL_WIDTH, *[None] * (len(header) - 1)]
    return tabulate(rows, header, tablefmt="simple", disable_numparse=True, colalign=align, maxcolwidths=widths)
