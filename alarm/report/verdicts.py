"""Who wins each prompt, by each judge on record: gold, rewards and language models, pair of runs by pair of runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from alarm.evaluation.judges.base import Verdict
from alarm.evaluation.win_rates import outcomes
from alarm.records import Generation, JudgeRecord
from alarm.report.runs import TaskRuns

SFT = "sft"
"""Names the SFT policy among runs; its greedy responses are the same for every seed."""
SFT_SEED = "0"
POINTS = {Verdict.WIN: 1.0, Verdict.TIE: 0.0, Verdict.LOSE: -1.0, Verdict.INVALID: np.nan}
Match = tuple[str, str, int]
"""Two runs and their seed; what is said of it is said of the first."""


@dataclass(frozen=True)
class Verdicts:
    """What one judge says of pairs of runs on the same seeds and prompts."""

    outcomes: dict[tuple[str, str], NDArray]
    """Pair to [S, P]: 1 where the first wins, -1 where the second does, 0 for a tie, NaN for no verdict."""
    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    left_out: tuple[str, ...]
    """Runs without responses for all these seeds."""


def score_verdicts(runs: TaskRuns, names: Sequence[str], score: str) -> Verdicts | None:
    """The better score wins: all pairs of these runs, on the seeds that at least half of the runs have.

    None where fewer than two runs have the score.
    """
    having = {name: {s for s, r in runs.finished.get(name, {}).items() if score in r.directions} for name in names}
    trained = [seeds for seeds in having.values() if seeds]
    wanted = {seed for seed in set().union(*trained) if sum(seed in seeds for seeds in trained) * 2 >= len(trained)}
    policies = [name for name, seeds in having.items() if seeds and wanted <= seeds]
    before = runs.sft_scores(score) if SFT in names else {}
    present = [*policies, *([SFT] if before else [])]
    if not policies or len(present) < 2:
        return None
    aligned = runs.aligned(policies, score)
    kept = [i for i, name in enumerate(aligned.ids) if not before or np.isfinite(before.get(name, np.nan))]
    ids = tuple(aligned.ids[i] for i in kept)
    if not ids:
        return None
    values = {name: table[:, kept] for name, table in aligned.scores.items()}
    if before:
        values[SFT] = np.tile([before[name] for name in ids], (len(aligned.seeds), 1))
    better = runs.higher_is_better(score)
    found = {
        (a, b): outcomes(values[a], values[b], higher_is_better=better).astype(np.float64)
        for a, b in combinations(present, 2)
    }
    return Verdicts(found, aligned.seeds, ids, tuple(name for name in names if name not in present))


def model_verdicts(runs: TaskRuns, record: JudgeRecord) -> Verdicts | None:
    """A language model's verdicts on responses that are still on record, on seeds in which every run was judged.

    None where there are none.
    """
    current = [row for row in record.comparisons if is_current(runs, record, row)]
    names = {name for row in current for name in (row["row"], row["column"])}
    judged = {name: {row["seed"] for row in current if name in (row["row"], row["column"])} for name in names}
    seeds = sorted(set.intersection(*judged.values())) if judged else []
    if not seeds:
        return None
    ids = sorted({i for row in current for i in row["ids"]})
    places = {name: place for place, name in enumerate(ids)}
    found: dict[tuple[str, str], NDArray] = {}
    for row in current:
        pair = (row["row"], row["column"])
        if row["seed"] not in seeds or pair[::-1] in found:
            continue
        table = found.setdefault(pair, np.full((len(seeds), len(ids)), np.nan))
        columns = [places[i] for i in row["ids"]]
        table[seeds.index(row["seed"]), columns] = [POINTS[verdict] for verdict in row["verdicts"]]
    return Verdicts(found, tuple(seeds), tuple(ids), ())


def is_current(runs: TaskRuns, record: JudgeRecord, comparison) -> bool:
    """Whether both runs' responses are on record and are those that were judged."""
    judged = record.facts.get("responses", {})
    for name in (comparison["row"], comparison["column"]):
        if name == SFT:
            known = judged.get(SFT, {}).get(SFT_SEED)
            if not runs.sft or (known is not None and known != responses_checksum(runs.sft)):
                return False
            continue
        run = runs.finished.get(name, {}).get(comparison["seed"])
        known = judged.get(name, {}).get(str(comparison["seed"]))
        if run is None or (known is not None and known != (run.generations or {}).get("sha256")):
            return False
    return True


def responses_checksum(generations: Mapping[str, Generation]) -> str:
    """A sha256 over ids and texts of responses, which tells these from later ones."""
    lines = (f"{i}\t{generations[i].response}\n" for i in sorted(generations))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def scores_of(runs: TaskRuns, name: str, seed: int, score: str) -> dict[str, float]:
    """A run's score of each test prompt; the SFT policy's for every seed."""
    return runs.sft_scores(score) if name == SFT else runs.scores(name, seed, score)


def responses(runs: TaskRuns, name: str, seed: int) -> dict[str, Generation]:
    """A run's test responses by prompt id; the SFT policy's for every seed."""
    return (runs.sft or {}) if name == SFT else runs.generations(name, seed)
