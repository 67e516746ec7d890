"""All methods of a task in one order: a Bradley-Terry ranking per judge, in Elo points over the SFT policy."""

from __future__ import annotations

from scipy.special import expit

from alarm.evaluation.ranking import ELO, PRIOR, Standing, rank
from alarm.evaluation.win_rates import Spread
from alarm.report.captions import origin, samples_sentence
from alarm.report.comparisons import BOOTSTRAP_SEED, correct
from alarm.report.judge_table import judge_origin, judge_title, outdated
from alarm.report.runs import TaskRuns, mixtures
from alarm.report.tables import Block, Cell, Table
from alarm.report.verdicts import SFT, Verdicts, model_verdicts, score_verdicts
from alarm.report.win_tables import GOLD

COLUMNS = {
    "rank": "rank [compatible ranks]",
    "elo": "Elo points",
    "expected": "expected win rate, %",
}


def ranking_table(runs: TaskRuns) -> Table | None:
    """One block per judge: gold, the holistic reward, the selected aspect, every language model on record.

    None where no two runs share a seed.
    """
    names = dict.fromkeys([*runs.methods, *runs.variants.values(), *runs.combinations])
    names = [name for name in names if set(runs.seeds) <= runs.finished.get(name, {}).keys()]
    scores = [score for score in (GOLD, "holistic", runs.aspect) if score]
    sampled = score_verdicts(runs.sampled, [*names, SFT], GOLD) if runs.sampled else None
    by_score = {f"By {runs.label(score)}": score_verdicts(runs, [*names, SFT], score) for score in scores}
    by_model = {f"By {judge_title(record)}": model_verdicts(runs, record) for record in runs.judges}
    found = {
        title: verdicts
        for title, verdicts in {f"By {runs.label(GOLD)}, sampled": sampled, **by_score, **by_model}.items()
        if verdicts
    }
    if not found:
        return None
    blocks, gaps, counts = [], [], []
    for title, verdicts in found.items():
        anchor = SFT if any(SFT in pair for pair in verdicts.outcomes) else None
        try:
            standings = rank(verdicts.outcomes, anchor=anchor, seed=BOOTSTRAP_SEED)
        except ValueError as error:
            gaps.append(f"{title}: {error}")
            continue
        blocks.append(_block(title, standings, verdicts, anchor))
        counts.append(_differing(title, standings))
        if verdicts.left_out:
            gaps.append(f"{title}: {', '.join(verdicts.left_out)} (no responses for all these seeds)")
    for block, cells in zip(blocks, correct([block.cells for block in blocks], null=0.0), strict=True):
        block.cells = cells
    return Table(
        name=f"ranking_{runs.task}",
        title=f"Ranking of all methods in {runs.task}",
        caption=[
            "A Bradley–Terry model of all pairs of runs on the same seeds and prompts, fitted per seed and averaged; a "
            f"tie counts half for both sides, and {PRIOR:g} tie is added to every pair and seed, so that who wins "
            "everything stays finite. 400 points are odds of 10 to 1. Zero: the SFT policy, or the mean of all "
            "where a judge did not see its responses.",
            "Expected win rate: over the zero of the scale, ties counted half, which draws it to 50 where many "
            "responses are equal; win-rate tables leave ties out.",
            "Brackets: 95 % interval of a bootstrap over prompts, seeds as clusters whose spread is pooled over the "
            "methods. Bold: different from the zero, p < 0.05 after Holm's correction over this table. Compatible "
            "ranks: as far as pairs of methods differ significantly (Holm over all pairs of the block).",
            f"Pairs that differ significantly, the zero among them: {'; '.join(counts)}.",
            samples_sentence(runs),
            *(sentence for record in runs.judges for sentence in judge_origin(record)),
            *origin(runs.scale, runs.records),
            *mixtures(runs),
        ],
        blocks=blocks,
        missing=[*gaps, *outdated(runs)],
    )


def _block(title: str, standings: list[Standing], verdicts: Verdicts, anchor: str | None) -> Block:
    cells: dict[tuple[str, str], Cell] = {}
    seeds = len(verdicts.seeds)
    for standing in standings:
        row, elo = standing.name, standing.elo
        ranks = f"[{standing.best}, {standing.worst}]"
        cells[row, "rank"] = Cell(Spread(standing.rank, None, 1), note=ranks, digits=0, show_count=False)
        if row == anchor:
            cells[row, "elo"] = Cell(Spread(0.0, None, seeds), digits=1, note="zero")
            continue
        cells[row, "elo"] = Cell(Spread(elo.value, None, seeds), elo, digits=1)
        chance, low, high = (100 * float(expit(points / ELO)) for points in (elo.value, elo.low, elo.high))
        cells[row, "expected"] = Cell(Spread(chance, None, seeds), digits=1, note=f"[{low:.1f}, {high:.1f}]")
    return Block(title, "method", [s.name for s in standings], list(COLUMNS), cells, COLUMNS)


def _differing(title: str, standings: list[Standing]) -> str:
    """How many pairs differ significantly: each method's best rank counts those that are above it."""
    pairs = len(standings) * (len(standings) - 1) // 2
    return f"{sum(standing.best - 1 for standing in standings)} of {pairs} {title[:1].lower()}{title[1:]}"
