"""How far the judges of a task agree: gold, the rewards, and the language models on record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from alarm.evaluation.agreement import Agreement, agreement
from alarm.evaluation.judges.base import Verdict
from alarm.evaluation.win_rates import Spread
from alarm.records import JudgeRecord
from alarm.report.captions import origin
from alarm.report.comparisons import BOOTSTRAP_SEED
from alarm.report.judge_table import judge_origin, judge_title, outdated
from alarm.report.published import PAPER_METHODS
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table, number_text
from alarm.report.verdicts import POINTS, Match, is_current, responses, scores_of
from alarm.report.win_tables import GOLD

Said = Callable[[Match], dict[str, float]]
"""From a pair of runs to what a judge says of each prompt: 1, 0, -1, or NaN for no verdict."""


@dataclass(frozen=True)
class _Judge:
    title: str
    said: Said
    matches: list[Match] | None
    """The pairs of runs that it judged; None where it can judge any."""


def agreement_table(runs: TaskRuns) -> Table | None:
    """Cohen's kappa of every two judges; None where no two runs share a seed."""
    scores = [score for score in dict.fromkeys((GOLD, "holistic", runs.aspect)) if score and _recorded(runs, score)]
    judges = [_by_score(runs, score) for score in scores]
    judges += [judge for record in runs.judges if (judge := _by_model(runs, record)).matches]
    pairs = _paper_pairs(runs)
    if len(judges) < 2 or not (pairs or any(judge.matches for judge in judges)):
        return None
    cells = {(a.title, b.title): _cell(runs, a, b, pairs) for a, b in combinations(judges, 2)}
    titles = [judge.title for judge in judges]
    return Table(
        name=f"agreement_{runs.task}",
        title=f"Agreement between judges in {runs.task}",
        caption=[
            "Cohen's kappa of win, tie and loss over pairs of different responses to one prompt (equal ones tie for "
            "every judge and are left out): 1 for full agreement, 0 for no more than by chance. Below it: its 95 % "
            "interval (bootstrap over prompts, all pairs of a prompt drawn together); the share of equal verdicts; the "
            "share in which one judge's win is the other's loss; the number of verdicts, and of those left out because "
            "a judge gave none.",
            f"Scores judge all pairs of {', '.join(PAPER_METHODS)} with the same seed; where a language model is one "
            "of the two, the pairs that it judged. By a score, the better one wins and only equal scores tie.",
            *(sentence for record in runs.judges for sentence in judge_origin(record)),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=[Block("", "judge", titles[:-1], titles[1:], cells)],
        missing=outdated(runs) or ([] if runs.judges else [f"{runs.task} verdicts of a language model"]),
    )


def _agreement(runs: TaskRuns, first: Said, second: Said, matches: list[Match]) -> tuple[Agreement, int]:
    """Over the pairs of different responses of these runs, and on how many of them a judge has no verdict."""
    tables = [_different(runs, match, first, second) for match in matches]
    ids = sorted({i for table in tables for i in table})
    values = np.full((2, len(tables), len(ids)), np.nan)
    places = {name: place for place, name in enumerate(ids)}
    for row, table in enumerate(tables):
        for name, verdicts in table.items():
            values[:, row, places[name]] = verdicts
    found = agreement(*values, seed=BOOTSTRAP_SEED)
    # Places without a pair are no verdicts that a judge owes.
    return found, sum(map(len, tables)) - found.verdicts


def _cell(runs: TaskRuns, a: _Judge, b: _Judge, pairs: list[Match]) -> Cell:
    if a.matches is not None and b.matches is not None:
        matches = [match for match in a.matches if match in b.matches]
    else:
        matches = a.matches or b.matches or pairs
    found, left_out = _agreement(runs, a.said, b.said, matches)
    if not found.verdicts:
        return Cell(missing="a pair of different responses that both judged")
    counts = f"{found.share:.1f} % equal, {found.opposed:.1f} % opposed; {found.verdicts} verdicts, {left_out} left out"
    if math.isnan(found.kappa):
        return Cell(missing=f"variation between verdicts ({counts})")
    interval = f"[{number_text(found.kappa_low, 3)}, {number_text(found.kappa_high, 3)}]"
    return Cell(Spread(found.kappa, None, found.verdicts), note=f"{interval}; {counts}", digits=3, show_count=False)


def _different(runs: TaskRuns, match: Match, first: Said, second: Said) -> dict[str, tuple[float, float]]:
    """Prompt to both judges' verdicts, where both know the prompt and the responses differ."""
    row, column, seed = match
    ours, theirs, said, told = responses(runs, row, seed), responses(runs, column, seed), first(match), second(match)
    shared = [name for name in said if name in told and name in ours and name in theirs]
    return {i: (said[i], told[i]) for i in shared if ours[i].response.strip() != theirs[i].response.strip()}


def _by_score(runs: TaskRuns, score: str) -> _Judge:
    sign = 1.0 if runs.higher_is_better(score) else -1.0

    def said(match: Match) -> dict[str, float]:
        row, column, seed = match
        ours, theirs = (scores_of(runs, name, seed, score) for name in (row, column))
        return {i: sign * float(np.sign(ours[i] - theirs[i])) for i in ours if i in theirs}

    return _Judge(runs.label(score), said, None)


def _by_model(runs: TaskRuns, record: JudgeRecord) -> _Judge:
    found = {
        (row["row"], row["column"], row["seed"]): {
            name: POINTS[Verdict(verdict)] for name, verdict in zip(row["ids"], row["verdicts"], strict=True)
        }
        for row in record.comparisons
        if is_current(runs, record, row)
    }
    return _Judge(judge_title(record), found.__getitem__, list(found))


def _paper_pairs(runs: TaskRuns) -> list[Match]:
    present = [name for name in PAPER_METHODS if name in runs.finished]
    return [
        (a, b, seed)
        for a, b in combinations(present, 2)
        for seed in sorted(runs.finished[a].keys() & runs.finished[b].keys())
    ]


def _recorded(runs: TaskRuns, score: str) -> bool:
    return any(score in record.directions for record in runs.records)
