"""Direct assessment of machine translation: human scores of single translations, and comparisons made from them.

Raters score one translation at a time, and most translations are rated once. On WMT22 German to English, two scores of
*the same* translation differ with a standard deviation of 1.17 (median 0.65) standardised points, as much as scores of
two translations of one sentence do (1.15): a small difference says nothing about the two texts. So comparisons
need a tie margin; the default, 1, is about that standard deviation, and keeps 30 % of the pairs. Beyond it chrF agrees
with the raters in 58 %, without a margin in 54 %.

Source: WMT22 general task, github.com/wmt-conference/wmt22-news-systems, humaneval/DA.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.json_lines import field, json_lines

TIE_MARGIN = 1.0
"""Standardised points by which two translations must differ to be compared."""
HUMAN = "HUMAN-"
"""Reference X is rated as system HUMAN-X."""


@dataclass(frozen=True)
class Segment:
    """A source text with its translations."""

    index: int
    """Line in the published text files, from 0."""
    document: str
    domain: str
    source: str
    references: Mapping[str, str]
    systems: Mapping[str, str]

    def translation(self, system: str) -> str | None:
        """What `system` wrote, human translators included; None if it is not known."""
        if system.startswith(HUMAN):
            return self.references.get(system.removeprefix(HUMAN))
        return self.systems.get(system)


@dataclass(frozen=True)
class Assessment:
    """The human score of one system's translation of one segment."""

    system: str
    segment: int
    raw: float
    """Mean rating, 0 to 100."""
    z: float
    """Mean of the ratings, each in standard deviations from its rater's mean."""
    ratings: int


@dataclass(frozen=True)
class AssessedComparisons:
    """Comparisons of translations, the better-rated first, and what they came from."""

    pairs: list[Comparison]
    documents: list[str]
    """The document of each pair."""
    differences: list[float]
    """[P], score of the chosen less that of the rejected translation; above the margin."""
    facts: Mapping[str, Any]
    """Counts for records."""


def read_segments(path: Path | str) -> dict[int, Segment]:
    """Read source texts and translations by segment index: `doc`, `domain`, `seg_index`, `src`, `refs`, `systems`.

    Raises:
        ValueError: the file is missing or damaged, or a line is malformed; the message names file, line and field.
    """
    segments: dict[int, Segment] = {}
    for row, where in json_lines(path, "segments and their translations"):
        segment = Segment(
            field(row, "seg_index", int, where),
            *(field(row, name, str, where) for name in ("doc", "domain", "src")),
            *(_texts(row, name, where) for name in ("refs", "systems")),
        )
        if segment.index in segments:
            raise ValueError(f"{where}: segment {segment.index} stands in the file twice; remove one")
        segments[segment.index] = segment
    return segments


def read_assessments(path: Path | str) -> list[Assessment]:
    """Read human scores: `system`, `seg_index`, `raw`, `z`, `n` (ratings). Raises as `read_segments`."""
    assessments: dict[tuple[str, int], Assessment] = {}
    for row, where in json_lines(path, "human scores of translations"):
        assessment = Assessment(
            field(row, "system", str, where),
            field(row, "seg_index", int, where),
            *(float(field(row, name, (int, float), where)) for name in ("raw", "z")),
            field(row, "n", int, where),
        )
        if not (math.isfinite(assessment.raw) and math.isfinite(assessment.z) and assessment.ratings > 0):
            raise ValueError(f"{where}: scores must be finite and `n` positive, got {row!r:.120}")
        key = (assessment.system, assessment.segment)
        if key in assessments:
            raise ValueError(f"{where}: {key[0]}'s segment {key[1]} is scored twice; merge the two")
        assessments[key] = assessment
    return list(assessments.values())


def compare_assessments(
    segments: Mapping[int, Segment],
    assessments: Sequence[Assessment],
    *,
    score: str = "z",
    margin: float = TIE_MARGIN,
) -> AssessedComparisons:
    """All comparisons between translations of one segment whose scores differ by more than `margin`.

    Where systems wrote the same text it is one translation, scored by the mean over all its ratings. The prompt is the
    source text. Order: by segment, then by the first appearance of the translations in `assessments`.

    Args:
        score: "z" or "raw".
        margin: 0 or more, in the score's unit; a smaller or equal difference is a tie and gives no comparison.
    Raises:
        ValueError: another score or margin, an assessment of an unknown segment or translation, or no comparisons.
    """
    if score not in ("z", "raw"):
        raise ValueError(f"score must be 'z' or 'raw', got {score!r}")
    if not margin >= 0:
        raise ValueError(f"margin must be 0 or more, got {margin}")
    ratings: dict[int, dict[str, list[Assessment]]] = defaultdict(lambda: defaultdict(list))
    empty = 0
    for assessment in assessments:
        text = _translation(segments, assessment).strip()
        if text:
            ratings[assessment.segment][text].append(assessment)
        else:
            empty += 1
    pairs, documents, differences, ties = [], [], [], 0
    for index in sorted(ratings):
        scores = {text: _mean_score(judged, score) for text, judged in ratings[index].items()}
        for first, second in combinations(scores, 2):
            difference = scores[first] - scores[second]
            if abs(difference) <= margin:
                ties += 1
                continue
            chosen, rejected = (first, second) if difference > 0 else (second, first)
            pairs.append(Comparison(segments[index].source, chosen, rejected))
            documents.append(segments[index].document)
            differences.append(abs(difference))
    if not pairs:
        raise ValueError(f"no two translations of a segment differ by more than {margin} in {score}; lower the margin")
    facts = {
        "assessments": len(assessments),
        "distinct translations": sum(map(len, ratings.values())),
        "empty translations skipped": empty,
        "tie margin": f"{margin:g} ({score})",
        "ties skipped": ties,
        "pairs": len(pairs),
    }
    return AssessedComparisons(pairs, documents, differences, facts)


def _mean_score(assessments: Sequence[Assessment], score: str) -> float:
    total = sum(getattr(assessment, score) * assessment.ratings for assessment in assessments)
    return total / sum(assessment.ratings for assessment in assessments)


def _translation(segments: Mapping[int, Segment], assessment: Assessment) -> str:
    if assessment.segment not in segments:
        raise ValueError(f"segment {assessment.segment} is assessed but unknown; do both files belong together?")
    text = segments[assessment.segment].translation(assessment.system)
    if text is None:
        raise ValueError(
            f"{assessment.system}'s translation of segment {assessment.segment} is assessed but unknown; do both files "
            "belong together?"
        )
    return text


def _texts(row: dict[str, Any], name: str, where: str) -> dict[str, str]:
    texts = field(row, name, dict, where)
    for key in texts:
        field(texts, key, str, f"{where}: {name}")
    return texts
