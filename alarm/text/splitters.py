"""Sentence splitters by name: `rules`, which need nothing, and `spacy`, which the published labels were made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from alarm.registry import Registry
from alarm.text.splitting import SentenceSplitter, Span, split_sentences

MODEL = "en_core_web_sm"


@dataclass(frozen=True)
class Splitter:
    """One way to find sentences."""

    load: Callable[[], SentenceSplitter]
    version: Callable[[], str]
    require: Callable[[], None]
    """Raises `ValueError`, with what to install, where it cannot work."""


SPLITTERS: Registry[Splitter] = Registry("sentence splitter")


def sentence_splitter(name: str) -> SentenceSplitter:
    """The splitter of that name, loaded once per process.

    Raises:
        ValueError: an unknown name, or something that it needs is not installed.
    """
    return SPLITTERS[name].load()


def _missing_spacy() -> str:
    missing = [] if find_spec("spacy") else ["`pip install spacy`"]
    missing += [] if find_spec(MODEL) else [f"`python -m spacy download {MODEL}`"]
    return " and ".join(missing)


def _require_spacy() -> None:
    missing = _missing_spacy()
    if missing:
        raise ValueError(
            f"the sentence splitter 'spacy' needs {missing}; install it, or fall back on --sentence-splitter rules"
        )


@cache
def _load_spacy() -> SentenceSplitter:
    """spaCy's sentences, from the dependency parse of its small English model."""
    _require_spacy()
    import spacy

    pipeline = spacy.load(MODEL)

    def split(text: str) -> list[Span]:
        return [(sentence.start_char, sentence.end_char) for sentence in pipeline(text).sents if sentence.text.strip()]

    return split


def _spacy_version() -> str:
    from importlib.metadata import version

    return f"spacy {version('spacy')} {MODEL} {version(MODEL)}"


SPLITTERS.add("rules", Splitter(lambda: split_sentences, lambda: "rules", lambda: None))
SPLITTERS.add("spacy", Splitter(_load_spacy, _spacy_version, _require_spacy))
