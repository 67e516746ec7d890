"""Language confidence: how surely a translation is in the target language and not left in the source language."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version

from alarm.registry import unknown_name
from alarm.scorers.base import Placement, Score
from alarm.scorers.text_scorer import TextScorer


class ConfidenceScorer(TextScorer):
    """Probability, by lingua, that the response is in `target` when only `target` and `source` are possible.

    In [0, 1] and not normalised. The authors use English against Spanish; German is our translation task's source.
    A text without letters (an empty one included) is in neither language and has confidence 0.
    """

    name = "confidence"
    value_name = "language confidence"
    placement = Placement.LAST
    higher_is_better = True

    def __init__(self, *, target: str = "ENGLISH", source: str = "GERMAN") -> None:
        super().__init__()
        self.target, self.source = target.upper(), source.upper()
        if self.target == self.source:
            raise ValueError(f"target and source are both {self.target}; language confidence needs two languages")

    @property
    def version(self) -> str:
        return f"lingua {version('lingua-language-detector')} {self.target}/{self.source}"

    @cached_property
    def _detector(self):
        from lingua import Language, LanguageDetectorBuilder

        known = {language.name: language for language in Language.all()}
        for name in (self.target, self.source):
            if name not in known:
                raise ValueError(unknown_name("language", name, known))
        builder = LanguageDetectorBuilder.from_languages(known[self.target], known[self.source])
        return builder.build(), known[self.target]

    def measure(self, response: str) -> Score:
        detector, target = self._detector
        # lingua sums in an order that differs between processes; the last digits would turn ties into wins.
        return Score(round(float(detector.compute_language_confidence(response, target)), 9))


def language_name(code: str) -> str:
    """lingua's name of a language, e.g. GERMAN for `de`.

    Raises:
        ValueError: lingua knows no language of this ISO 639-1 code.
    """
    from lingua import Language

    names = {language.iso_code_639_1.name.lower(): language.name for language in Language.all()}
    if code not in names:
        raise ValueError(unknown_name("language code", code, names))
    return names[code]
