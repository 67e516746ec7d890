"""Flesch-Kincaid grade level: how hard a text is to read, in years of US schooling."""

from __future__ import annotations

import warnings
from importlib.metadata import version

from alarm.scorers.base import Placement, Score
from alarm.scorers.text_scorer import TextScorer


class ReadabilityScorer(TextScorer):
    """Flesch-Kincaid grade by textstat: 0.39 words per sentence + 11.8 syllables per word - 15.59.

    A *higher* grade counts as better, as in the authors' code (reference translations of parliament speech are dense).
    A text without words has the formula's floor (-15.7 as textstat rounds it), below every text with words.
    """

    name = "readability"
    value_name = "Flesch-Kincaid grade"
    placement = Placement.LAST
    higher_is_better = True
    normalize = True

    @property
    def version(self) -> str:
        return f"textstat {version('textstat')}"

    def measure(self, response: str) -> Score:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # textstat 0.7.3 imports the deprecated pkg_resources
            import textstat
        return Score(float(textstat.flesch_kincaid_grade(response)))
