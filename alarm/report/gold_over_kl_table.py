"""Raw against transformed rewards at equal KL: PPO and best-of-k, by gold win rate over the SFT policy."""

from __future__ import annotations

import numpy as np

from alarm.evaluation.win_rates import spread
from alarm.report.best_of_k_blocks import READING, best_of_k_block
from alarm.report.captions import origin
from alarm.report.gold_over_kl import PAIRS, POINTS, kl_curve, win_rates_at_equal_kl
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.win_tables import GOLD, missing_runs

COLUMNS = {
    "end_kl": "KL at the end, nats",
    "end_rate": "win rate at the end, %",
    "equal_rate": "win rate at equal KL, %",
}


def gold_over_kl_table(runs: TaskRuns) -> Table | None:
    """PPO's win rates at the end and at equal KL, and best-of-k; None where neither is on record."""
    methods = [method for pair in PAIRS for method in pair]
    recorded = any(kl_curve(list(runs.finished.get(method, {}).values())) for method in methods)
    if not recorded and not runs.best_of_k:
        return None
    cells = {(m, column): cell for m in methods for column, cell in _end_cells(runs, m).items()}
    for raw, transformed in PAIRS:
        cells |= _equal_cells(runs, raw, transformed)
    blocks = [Block("PPO, gold win rate over SFT samples", "method", methods, list(COLUMNS), cells, COLUMNS)]
    missing = missing_runs(runs, methods)
    caption = [
        f"By {runs.label(GOLD)}. PPO: every sampled response of an iteration meets the SFT samples of its prompt, a "
        f"tie counts half; KL and win rate are means over a run's last {1 / POINTS:.0%} of iterations. "
        "Mean ± sd over n seeds (sample sd).",
        f"Equal KL: a run's iterations are pooled into {POINTS} points and joined by lines that start at KL 0 and "
        "50 %, the SFT policy against itself; read off at the largest KL that all runs of a raw method and its "
        "transformed one reach. Second line: mean difference over common seeds.",
    ]
    caption += references_sentence(runs)
    if runs.best_of_k:
        ks = list(runs.best_of_k.ks)
        blocks.append(best_of_k_block(runs.best_of_k, "win_rate", "Best-of-k, gold win rate over an SFT sample, %", ks))
        blocks.append(best_of_k_block(runs.best_of_k, "gold", f"Best-of-k, {runs.best_of_k.gold_name}", ks, digits=3))
        caption += [READING, *(f"`{name}`: {s['description']}." for name, s in runs.best_of_k.selectors.items())]
    else:
        missing.append(f"{runs.task} best-of-k")
    return Table(
        name=f"log_sigmoid_{runs.task}",
        title=f"Raw against log-sigmoid-centred rewards in {runs.task}",
        caption=[*caption, *origin(runs.scale, runs.records), *mixtures(runs)],
        blocks=blocks,
        missing=missing,
    )


def references_sentence(runs: TaskRuns) -> list[str]:
    """What the runs' reference levels are, as their settings say."""
    found = {repr(record.settings.get("references")): record.settings.get("references") for record in runs.records}
    sentences = []
    for settings in filter(None, found.values()):
        level = {
            "quantile": f"the {settings['quantile']:g} quantile of each prompt's {settings['samples']} SFT samples",
            "mean": f"the mean of each prompt's {settings['samples']} SFT samples",
            "canned": f"the reward of the canned response {settings['canned_response']!r}",
            "constant": f"{settings['constant']:g} everywhere",
        }.get(settings["strategy"], settings["strategy"])
        sentences.append(f"Reference levels: {level}; best-of-k takes them from its own pool.")
    return sentences


def _end_cells(runs: TaskRuns, method: str) -> dict[str, Cell]:
    curves = [kl_curve([record]) for record in runs.finished.get(method, {}).values()]
    curves = [curve for curve in curves if curve is not None]
    if not curves:
        absent = Cell(missing="win rates over SFT" if runs.finished.get(method) else f"no run of {method}")
        return {"end_kl": absent, "end_rate": absent}
    return {
        "end_kl": Cell(spread([curve.kl[-1] for curve in curves])),
        "end_rate": Cell(spread([curve.win_rate[-1] for curve in curves])),
    }


def _equal_cells(runs: TaskRuns, raw: str, transformed: str) -> dict[tuple[str, str], Cell]:
    found = win_rates_at_equal_kl(runs, (raw, transformed))
    if found is None:
        return {(method, "equal_rate"): Cell(missing=f"{raw} and {transformed}") for method in (raw, transformed)}
    kl, rates = found
    differences = [rate - rates[raw][seed] for seed, rate in rates[transformed].items() if seed in rates[raw]]
    change = f"; against {raw} {np.mean(differences):+.2f}" if differences else ""
    return {
        (method, "equal_rate"): Cell(spread(list(rates[method].values())), note=f"at KL {kl:.2f}{extra}")
        for method, extra in ((raw, ""), (transformed, change))
    }
