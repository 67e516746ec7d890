"""Real comparison sources: sides that share nothing, heuristics by hand, and files in the exact layout."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from alarm.experiment.sources import HELD_OUT_FOLDS, HH_FILE, SOURCES, SPLIT_SEED, WMT22_FILES, reference_heuristics
from alarm.reward_modeling.direct_assessment import Segment
from alarm.reward_modeling.from_scratch import ScratchModel
from alarm.reward_modeling.hh import opening, read_hh
from alarm.reward_modeling.preferences import fit_preferences
from alarm.reward_modeling.strength import folds
from alarm.reward_modeling.validation import VALIDATION_PAIRS, Validation, validation_sets
from alarm.settings import RewardModelSettings

TINY = ScratchModel(vocabulary_size=150, hidden_size=8, feedforward_size=8, layers=1, heads=1, max_tokens=128)


def write(path: Path, rows: list[Mapping]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve dialogues with two rows each, one cut short; twelve documents, two on different sides with one text."""
    rows = []
    for i in range(12):
        start = f"\n\nHuman: Question {i}?"
        longer = f"{start}\n\nAssistant: What?{' so' * 50}\n\nHuman: Tell me {i}."
        for before in (start, longer):
            rows.append({"chosen": f"{before}\n\nAssistant: No.", "rejected": f"{before}\n\nAssistant: Yes, do it."})
    write(tmp_path / HH_FILE, rows)
    segments, scores = [], []
    held_out = folds([f"d{i}" for i in range(12)], HELD_OUT_FOLDS, SPLIT_SEED) == 0
    twins = {int(np.flatnonzero(held_out)[0]), int(np.flatnonzero(~held_out)[0])}
    for i in range(12):
        segments.append(
            {
                "doc": f"d{i}",
                "domain": "news",
                "seg_index": i,
                "src": "Immer gleich." if i in twins else f"Satz {i}.",
                "refs": {"A": f"Sentence number {i}.", "B": f"Phrase {i}."},
                "systems": {"S": f"Sentence {i}.", "T": "Nothing."},
            }
        )
        for system, z in (("S", 1.0), ("T", -2.0), ("HUMAN-B", 0.5)):
            scores.append({"system": system, "seg_index": i, "sid": i, "raw": 50.0, "z": z, "n": 1, "n_raters": 1})
    write(tmp_path / WMT22_FILES[0], segments)
    write(tmp_path / WMT22_FILES[1], scores)
    return tmp_path


def test_dialogues_of_one_opening_are_on_one_side(data: Path) -> None:
    source = SOURCES["hh_harmless"].read(data, TINY)
    full = {(pair.prompt, pair.chosen): opening(pair.prompt) for pair in read_hh(data / HH_FILE).pairs}
    assert len(full) == len(source.train) + len(source.held_out) == 24
    assert len(source.held_out) == 6
    assert source.facts["dialogues cut to their last turns"] == 12
    asked, told = ({f"Question {i}?" for i in range(12)}, {f"Tell me {i}." for i in range(12)})
    assert {pair.prompt for pair in [*source.train, *source.held_out]} == asked | told
    held_out = {pair.prompt for pair in source.held_out}
    whole = {prompt.split()[1].strip("?") for prompt in held_out & asked}
    assert whole == {prompt.split()[2].strip(".") for prompt in held_out & told} and len(whole) == 3
    assert Validation(validation_sets(source)).of_heuristic(source.heuristics["brevity"]) == {"noisy": 1.0}
    assert Validation(validation_sets(source)).of_heuristic(source.heuristics["length"]) == {"noisy": 0.0}


def test_documents_and_source_texts_are_on_one_side(data: Path) -> None:
    source = SOURCES["wmt22_da"].read(data, TINY)
    sides = [{pair.prompt for pair in pairs} for pairs in (source.train, source.held_out)]
    assert not sides[0] & sides[1]
    # Each document has two pairs, S and reference B above T; S and B are a tie.
    assert (len(source.train), len(source.held_out)) == (16, 6)
    assert source.facts["training pairs with a held-out source text skipped"] == 2
    assert source.facts["ties skipped"] == 12


def test_reference_heuristics_are_sacrebleus(data: Path) -> None:
    segment = Segment(0, "d", "news", "Ein Hund bellt laut.", {"A": "A dog barks very loudly."}, {})
    twice = Segment(1, "e", "news", "Ein Hund bellt laut.", {"A": "Other."}, {})
    scores = reference_heuristics([segment, twice])
    texts = ([segment.source] * 2, ["A dog barks very loudly.", "A dog barks."])
    assert scores["chrf"](*texts)[0] == pytest.approx(100)
    assert 0 < scores["chrf"](*texts)[1] < 100
    expected = BLEU(effective_order=True).sentence_score("A dog barks.", ["A dog barks very loudly."]).score
    assert scores["bleu"](*texts) == pytest.approx([100, expected])


@pytest.mark.parametrize("name", list(SOURCES))
def test_readers_train_on_a_source(data: Path, name: str) -> None:
    source = SOURCES[name].read(data, TINY)
    reader = source.make_reader(1)
    losses = fit_preferences(reader, source.train, settings=RewardModelSettings(steps=2, batch_size=4, seed=1))
    assert len(losses) == 2
    assert 0 <= Validation(validation_sets(source)).of(reader)()["noisy"] <= 1


def test_missing_data_is_seen_and_named(tmp_path: Path, data: Path) -> None:
    for entry in SOURCES.values():
        entry.require(data)
        with pytest.raises(ValueError, match=r"which --data .*none lacks"):
            entry.require(tmp_path / "none")
        with pytest.raises(ValueError, match=r"there is no file .*none"):
            entry.source(tmp_path / "none")


@pytest.mark.shared_data
def test_the_real_sources(shared_data: Path) -> None:
    hh = SOURCES["hh_harmless"].source(shared_data)
    assert (len(hh.train), len(hh.held_out)) == (1341, 453)
    wmt = SOURCES["wmt22_da"].source(shared_data)
    assert len(wmt.train) == 8558 and len(wmt.held_out) == VALIDATION_PAIRS
    assert not {pair.prompt for pair in wmt.train} & {pair.prompt for pair in wmt.held_out}
    accuracies = {
        (source.name, name): Validation(validation_sets(source)).of_heuristic(score)["noisy"]
        for source in (hh, wmt)
        for name, score in source.heuristics.items()
    }
    assert accuracies == pytest.approx(
        {
            ("hh_harmless", "length"): 0.4404,
            ("hh_harmless", "brevity"): 0.5596,
            ("wmt22_da", "length"): 0.521,
            ("wmt22_da", "chrf"): 0.579,
            ("wmt22_da", "bleu"): 0.574,
        },
        abs=1e-3,
    )
