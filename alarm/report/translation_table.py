"""Translation quality of every method: BLEU, chrF and TER with sacreBLEU's paired bootstrap, and COMET where scored."""

from __future__ import annotations

from alarm.evaluation.statistics import LEVEL, bootstrap_mean
from alarm.evaluation.translation import RESAMPLES, PairedScore, paired_bootstrap
from alarm.evaluation.win_rates import Spread, spread
from alarm.records import MetricRecord
from alarm.report.captions import origin
from alarm.report.comparisons import BOOTSTRAP_SEED, correct
from alarm.report.mean_tables import SFT_ROW, corpus_metrics
from alarm.report.pairing import paired
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.verdicts import SFT
from alarm.report.win_tables import INTERVALS, missing_runs

ONE_SIDED = LEVEL / 2
Pairs = dict[tuple[str, int], dict[str, PairedScore]]
"""Run and seed to metric to its comparison with the SFT policy."""


def translation_table(runs: TaskRuns) -> Table | None:
    """Corpus metrics of the SFT policy and of every method; None where the task has none."""
    corpus = corpus_metrics(runs)
    if not corpus:
        return None
    pairs = _pairs(runs)
    cells: dict[tuple[str, str], Cell] = {}
    for metric in corpus:
        cells[SFT_ROW, metric] = _sft_cell(runs, metric)
        for row in runs.methods:
            cells[row, metric] = _corpus_cell(runs, row, metric, pairs)
    scored: dict[tuple[str, str], Cell] = {}
    for metric in runs.metrics:
        scored |= {(row, metric.name): _scored_cell(runs, row, metric) for row in (SFT_ROW, *runs.methods)}
    (scored,) = correct([scored], null=0.0)
    caption = ["Over the whole test set, greedy responses; mean ± sd over n seeds (sample sd)."]
    for entry in corpus.values():
        direction = ", lower is better" if entry.get("higher_is_better") is False else ""
        caption.append(f"{entry['name']}{direction}: `{entry['signature']}`.")
    missing = missing_runs(runs, runs.methods)
    if pairs:
        caption.append(
            f"p: sacreBLEU's paired bootstrap against the SFT policy over {RESAMPLES} resamples of the sentences, one "
            "test per seed in the order of the seeds, not corrected for their number. Its p is that of a one-sided "
            f"test, so that p < {ONE_SIDED} is the level of {LEVEL} elsewhere."
        )
    else:
        missing.append("sacreBLEU's paired bootstrap (responses of the SFT policy, or references, are not on record)")
    for metric in runs.metrics:
        caption.append(f"{metric.label}: mean over sentences, by {metric.facts.get('version', 'an unknown version')}.")
    if runs.metrics:
        caption.append(f"Its second line: difference from the SFT policy. {INTERVALS.format(family='its column')}")
    else:
        missing.append("COMET (`python -m alarm comet --checkpoint ...` adds it)")
    labels = {metric: entry["name"] for metric, entry in corpus.items()}
    labels |= {metric.name: metric.label for metric in runs.metrics}
    return Table(
        name=f"translation_{runs.task}",
        title=f"Translation quality in {runs.task}",
        caption=[*caption, *origin(runs.scale, runs.records), *mixtures(runs)],
        blocks=[Block("", "method", [SFT_ROW, *runs.methods], list(labels), {**cells, **scored}, labels)],
        missing=missing,
    )


def _pairs(runs: TaskRuns) -> Pairs:
    """Every run against the SFT policy on the sentences both translated; empty without references on record."""
    if not runs.prompts or not runs.sft:
        return {}
    found: Pairs = {}
    groups: dict[tuple[str, ...], dict[str, tuple[str, int]]] = {}
    for name in runs.methods:
        for seed in sorted(runs.finished.get(name, {})):
            answered = runs.generations(name, seed).keys() & runs.sft.keys()
            ids = tuple(i for i in runs.prompts if i in answered)
            if ids:
                # The SFT policy's counts are made once for all runs that share their sentences, as a rule all.
                groups.setdefault(ids, {})[f"{name} {seed}"] = (name, seed)
    for ids, systems in groups.items():
        responses = {key: [runs.generations(*run)[i].response for i in ids] for key, run in systems.items()}
        responses[SFT] = [runs.sft[i].response for i in ids]
        compared = paired_bootstrap(responses, [runs.prompts[i].reference for i in ids], SFT)
        found |= {run: compared[key] for key, run in systems.items()}
    return found


def _corpus_cell(runs: TaskRuns, row: str, metric: str, pairs: Pairs) -> Cell:
    finished = runs.finished.get(row, {})
    stated = {seed: record.metrics.get("corpus", {}).get(metric, {}) for seed, record in sorted(finished.items())}
    values = [entry["value"] for entry in stated.values() if entry.get("value") is not None]
    if not values:
        return Cell(missing=f"no {metric} of {row}" if finished else f"no run of {row}")
    ps = [pairs[row, seed][metric].p for seed in stated if (row, seed) in pairs and metric in pairs[row, seed]]
    note = None
    if ps:
        significant = sum(p < ONE_SIDED for p in ps)
        note = f"p < {ONE_SIDED} in {significant} of {len(ps)} ({', '.join(f'{p:.3f}' for p in ps)})"
    gaps = ", ".join(f"seed {seed}" for seed in runs.missing_seeds(row))
    return Cell(spread(values), note=note, missing=gaps or None)


def _sft_cell(runs: TaskRuns, metric: str) -> Cell:
    stated = [record.metrics.get("sft_corpus", {}).get(metric, {}).get("value") for record in runs.records]
    value = next((value for value in stated if value is not None), None)
    if value is None:
        return Cell(missing=f"{metric} of the SFT policy")
    return Cell(Spread(value, None, 1), show_count=False)


def _scored_cell(runs: TaskRuns, row: str, metric: MetricRecord) -> Cell:
    """Mean over sentences per seed, and the paired difference from the SFT policy."""
    name = SFT if row == SFT_ROW else row
    means = [sum(scores.values()) / len(scores) for scores in metric.scores.get(name, {}).values() if scores]
    if not means:
        return Cell(missing=f"{metric.label} of {row}" if runs.finished.get(row) else f"no run of {row}")
    if name == SFT:
        return Cell(Spread(means[0], None, 1), digits=4, show_count=False)
    both = paired(runs, row, SFT, metric.name) if SFT in metric.scores else None
    estimate = both and bootstrap_mean(both.differences, seed=BOOTSTRAP_SEED, spread=both.spread)
    return Cell(spread(means), estimate or None, effect_name=f"against {SFT_ROW}", digits=4)
