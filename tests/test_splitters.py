"""Sentence splitters by name: units are found in training and in scoring with the one that was chosen."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest

from alarm.experiment.session import Session
from alarm.registry import UnknownNameError
from alarm.reward_modeling.units import LabelledUnits, train_unit_model
from alarm.scorers.learned import FactualityScorer
from alarm.scorers.longformer import LongformerFactuality
from alarm.settings import RewardModelSettings
from alarm.text.splitters import MODEL, SPLITTERS, Splitter, sentence_splitter
from alarm.text.splitting import split_sentences
from tests.hub_models import longformer
from tests.micro import micro_lab, micro_preset
from tests.tiny_models import checkpoint, tokenizer

TEXT = "the cat is red | it is big . the dog is blue"


def at_bars(text: str) -> list[tuple[int, int]]:
    """Sentences end at bars and nowhere else."""
    spans, start = [], 0
    for piece in text.split("|"):
        spans.append((start, start + len(piece)))
        start += len(piece) + 1
    return spans


@pytest.fixture
def bars():
    SPLITTERS.add("bars", Splitter(lambda: at_bars, lambda: "bars 7", lambda: None))
    yield "bars"
    del SPLITTERS._entries["bars"]


def test_rules_need_nothing_and_an_unknown_name_lists_the_known_ones():
    assert sentence_splitter("rules") is split_sentences
    SPLITTERS["rules"].require()
    with pytest.raises(UnknownNameError, match="Did you mean 'spacy'"):
        sentence_splitter("spacey")


def test_missing_spacy_is_one_sentence_with_the_fallback(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("spacy", MODEL):
        monkeypatch.delitem(sys.modules, name, raising=False)
    problem = (
        r"^the sentence splitter 'spacy' needs `pip install spacy` and `python -m spacy download en_core_web_sm`; "
        r"install it, or fall back on --sentence-splitter rules$"
    )
    with pytest.raises(ValueError, match=problem):
        SPLITTERS["spacy"].require()
    (tmp_path / "spacy.py").write_text("")
    with pytest.raises(ValueError, match=r"needs `python -m spacy download en_core_web_sm`; install"):
        sentence_splitter("spacy")


def test_the_option_is_checked_before_anything_is_made(tmp_path, monkeypatch):
    places = {"scale": "tiny", "results": tmp_path / "results", "store": tmp_path / "store"}
    with pytest.raises(UnknownNameError, match="unknown sentence splitter 'rulez'"):
        Session(**places, sentence_splitter="rulez")
    monkeypatch.setattr("alarm.text.splitters.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="fall back on --sentence-splitter rules"):
        Session(**places, sentence_splitter="spacy")
    assert not (tmp_path / "store").exists()
    assert Session(**places, sentence_splitter="spacy", tasks=("wmt",)).tasks == ["wmt"]  # translations have no units


def test_a_trained_model_keeps_its_splitter(bars, tmp_path):
    train_unit_model(
        [LabelledUnits("who ?", TEXT, ("O", "F-ERR"))],
        tmp_path / "model",
        kind="factuality",
        checkpoint=checkpoint(tmp_path / "start", "t5"),
        tokenizer=tokenizer(),
        settings=replace(RewardModelSettings(), steps=1, batch_size=2, sentence_splitter=bars),
    )
    scorer = FactualityScorer(tmp_path / "model")
    (score,) = scorer.score(["who ?"], [TEXT])
    assert [(span.start, span.end) for span in score.spans] == [(0, 15), (15, 44)]
    assert scorer.facts()["sentence_splitter"] == "bars 7"
    stored = json.loads((tmp_path / "model" / "scorer.json").read_text())
    assert stored["sentence_splitter"] == "bars"


def test_a_ready_made_model_reads_the_units_of_the_splitter(bars, tmp_path):
    longformer(tmp_path, labels=("F-ERR", "Ignore", "O"))
    ends = {
        name: [span.end for span in LongformerFactuality(tmp_path, splitter=name).score(["q"], [TEXT])[0].spans]
        for name in ("rules", "bars")
    }
    assert ends == {"rules": [44], "bars": [15, 44]}


@pytest.mark.slow
def test_a_labs_labels_and_scorers_share_the_splitter(bars, labs, micro_store):
    """Labels of other units than the model's would be refused; the key of what is stored names the splitter."""
    labs("long_form_qa").sft  # noqa: B018  built once
    models = replace(micro_preset("long_form_qa").reward_models, sentence_splitter=bars)
    lab = micro_lab("long_form_qa", micro_store, reward_models=models)
    assert lab.inputs("reward_models")["sentence_splitter"] == "bars 7"
    scorer = FactualityScorer(lab.reward_model("factuality"))
    assert len(scorer.score(["q"], ["One. Two. Three."])[0].spans) == 1
    plain = FactualityScorer(labs("long_form_qa").reward_model("factuality"))
    assert len(plain.score(["q"], ["One. Two. Three."])[0].spans) == 3


@pytest.mark.skipif(
    not (find_spec("spacy") and find_spec(MODEL)),
    reason=f"spacy with {MODEL} is not installed; the rules are the fallback",
)
def test_spacys_sentences_lie_in_the_text_in_order():
    split = sentence_splitter("spacy")
    text = " Ann won the cup in 1990.  Bob came second! Who came third?\n\nNobody knows. "
    spans = split(text)
    assert [text[start:end].strip() for start, end in spans] == [
        "Ann won the cup in 1990.", "Bob came second!", "Who came third?", "Nobody knows.",
    ]  # fmt: skip
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    assert split("") == split(" \n ") == []
    assert SPLITTERS["spacy"].version().startswith("spacy 3")
