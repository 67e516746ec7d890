"""Verdicts on claims: per set of seeds with Holm's correction, and what comes out in every set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alarm.evaluation.errors import LEVEL
from alarm.evaluation.statistics import holm
from alarm.report.claims.definitions import CLAIMS, Claim
from alarm.report.claims.evidence import Effect, Evidence, NotOnRecord

SEEDS_PER_SET = 3
HOLDS, OPPOSITE, UNDECIDED = "holds", "opposite", "not distinguishable"
UNSEEDED = "no seeds of PPO in it"


@dataclass(frozen=True)
class Outcome:
    """One claim on one set of seeds."""

    effect: Effect | None = None
    """Its p value is corrected for all claims of the set."""
    missing: str = ""
    """Why there is no effect."""

    @property
    def verdict(self) -> str:
        """Empty where there is no effect."""
        if self.effect is None:
            return ""
        estimate = self.effect.estimate
        if not estimate.p < LEVEL or self.effect.undecidable:
            return UNDECIDED
        return HOLDS if estimate.value > 0 else OPPOSITE


@dataclass(frozen=True)
class Finding:
    """One claim in one task."""

    claim: Claim
    sets: tuple[Outcome, ...]
    """As `TaskFindings.sets`."""
    everything: Outcome
    """On all seeds together."""

    @property
    def known(self) -> list[int]:
        """Places of the sets in which there is an effect."""
        return [place for place, outcome in enumerate(self.sets) if outcome.effect is not None]

    @property
    def verdict(self) -> str:
        """What comes out in every set on record, else `UNDECIDED`; empty without any effect."""
        if not self.known:
            return ""
        verdicts = {outcome.verdict for outcome in self.sets}
        return verdicts.pop() if len(verdicts) == 1 else UNDECIDED

    @property
    def missing(self) -> str:
        """Why there is no verdict."""
        return next((o.missing for o in (self.everything, *self.sets) if o.missing), "")

    @property
    def replicated(self) -> bool:
        """Whether more than one set of seeds speaks."""
        return self.claim.seeded and len(self.known) > 1


@dataclass(frozen=True)
class TaskFindings:
    """All claims in one task."""

    task: str
    sets: tuple[tuple[int, ...], ...]
    seeds: tuple[int, ...]
    """All on record, those outside complete sets included."""
    findings: tuple[Finding, ...]

    def in_words(self, finding: Finding) -> str:
        """The verdict, with what must be known to read it."""
        if not finding.verdict:
            return ""
        if not finding.claim.seeded:
            return f"{finding.verdict}; {UNSEEDED}"
        if len(finding.known) == 1:
            return f"one set of seeds: {finding.sets[finding.known[0]].verdict}"
        decided = {seeds_text(self.sets[p]): v for p in finding.known if (v := finding.sets[p].verdict) != UNDECIDED}
        if finding.verdict != UNDECIDED or not decided:
            return finding.verdict
        only = " only" if len(decided) == 1 else ""
        return f"{finding.verdict}: " + ", ".join(f"{v} with {s}{only}" for s, v in decided.items())


def seed_sets(seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Disjoint sets of `SEEDS_PER_SET` consecutive seeds; all seeds where there are fewer.

    >>> seed_sets([1, 2, 3, 4, 5, 6, 7])
    [(1, 2, 3), (4, 5, 6)]
    """
    ordered = sorted(seeds)
    last = len(ordered) - SEEDS_PER_SET + 1
    return [tuple(ordered[i : i + SEEDS_PER_SET]) for i in range(0, last, SEEDS_PER_SET)] or [tuple(ordered)]


def seeds_text(seeds: Sequence[int]) -> str:
    """`seeds 1–3`, or their list where one is left out in between."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    consecutive = seeds[-1] - seeds[0] == len(seeds) - 1
    return "seeds " + (f"{seeds[0]}–{seeds[-1]}" if consecutive else ", ".join(map(str, seeds)))


def judge(evidence: Evidence, claims: Sequence[Claim] = CLAIMS) -> TaskFindings:
    """Measure every claim on every set of seeds and on all seeds, and correct the p values of each."""
    seeds = tuple(evidence.runs.seeds)
    sets = tuple(seed_sets(seeds))
    fixed = {claim.id: _measured(claim, evidence) for claim in claims if not claim.seeded}

    def outcomes(chosen: tuple[int, ...]) -> list[Outcome]:
        part = evidence.of_seeds(chosen)
        return _corrected([fixed.get(claim.id) or _measured(claim, part) for claim in claims])

    by_set = [outcomes(chosen) for chosen in sets]
    everything = by_set[0] if sets == (seeds,) else outcomes(seeds)
    rows = zip(claims, zip(*by_set, strict=True), everything, strict=True)
    return TaskFindings(evidence.runs.task, sets, seeds, tuple(Finding(*row) for row in rows))


def agreement(tasks: Sequence[TaskFindings]) -> tuple[int, int]:
    """Of the claims in which several sets of seeds speak and any decides, in how many all say the same; and how many
    these are."""
    verdicts = [
        [finding.sets[place].verdict for place in finding.known]
        for task in tasks
        for finding in task.findings
        if finding.replicated
    ]
    decided = [found for found in verdicts if set(found) != {UNDECIDED}]
    return sum(len(set(found)) == 1 for found in decided), len(decided)


def _measured(claim: Claim, evidence: Evidence) -> Outcome:
    try:
        return Outcome(claim.effect(evidence))
    except NotOnRecord as reason:
        return Outcome(missing=str(reason))


def _corrected(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same with p values corrected over all of them (Holm)."""
    places = [place for place, outcome in enumerate(outcomes) if outcome.effect is not None]
    p_values = dict(zip(places, holm([outcomes[place].effect.estimate.p for place in places]), strict=True))
    return [
        replace(o, effect=replace(o.effect, estimate=replace(o.effect.estimate, p=p_values[place])))
        if place in p_values
        else o
        for place, o in enumerate(outcomes)
    ]
