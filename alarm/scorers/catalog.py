"""All scorers by class, for listings; none is loaded here."""

from __future__ import annotations

from alarm.scorers.base import Placement, Scorer
from alarm.scorers.confidence import ConfidenceScorer
from alarm.scorers.grammar import GrammarScorer
from alarm.scorers.learned import CompletenessScorer, FactualityScorer, HolisticScorer, RelevanceScorer
from alarm.scorers.length import LengthScorer
from alarm.scorers.readability import ReadabilityScorer

SCORERS: tuple[type[Scorer], ...] = (
    HolisticScorer,
    FactualityScorer,
    RelevanceScorer,
    CompletenessScorer,
    GrammarScorer,
    ConfidenceScorer,
    ReadabilityScorer,
    LengthScorer,
)

_LEVELS = {
    Placement.LAST: "one per response",
    Placement.UNIT_END: "per sentence or sub-sentence",
    Placement.COVERED: "per token",
}


def describe_scorer(scorer: type[Scorer]) -> str:
    """E.g. `factuality rate, per sentence or sub-sentence, higher is better`."""
    direction = "higher" if scorer.higher_is_better else "lower"
    return f"{scorer.value_name}, {_LEVELS[scorer.placement]}, {direction} is better"
