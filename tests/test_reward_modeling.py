"""Training of reward models: the losses, the grouping of pairs, and that toy sets are learned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alarm.reward_modeling.preferences import length_accuracy, preference_loss, train_preference_model
from alarm.reward_modeling.units import LabelledUnits, train_unit_model
from alarm.scorers.learned import CompletenessScorer, FactualityScorer, HolisticScorer, RelevanceScorer
from alarm.settings import RewardModelSettings
from tests.tiny_models import checkpoint, tokenizer

SETTINGS = RewardModelSettings(steps=60, batch_size=32, learning_rate=3e-3, seed=1)
ANIMALS, COLORS = ("cat", "dog", "bird", "fish"), ("red", "blue", "green")
FLOATS = st.lists(st.floats(-20, 20), min_size=1, max_size=8)


@dataclass(frozen=True)
class Pair:
    prompt: str
    chosen: str
    rejected: str


def toy_pairs(n: int, seed: int) -> list[Pair]:
    """Preferred: the response that says "good"; the lengths tell nothing."""
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(n):
        animal, color = generator.choice(ANIMALS), generator.choice(COLORS)
        texts = [f"the {color} {animal} is {word}" + " ." * generator.integers(1, 4) for word in ("good", "bad")]
        pairs.append(Pair(f"question: what is the {animal} ? {generator.choice(COLORS)}", *texts))
    return pairs


def toy_units(n: int, seed: int, truths: tuple[str, ...] = COLORS) -> list[LabelledUnits]:
    """A sentence is right if it repeats the color of the prompt; one about something big is not judged."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        truth, said = generator.choice(truths), generator.choice(COLORS)
        rows.append(
            LabelledUnits(
                f"question: what color ? context: it is {truth} .",
                f"It is {said} . It is big .",
                ("O" if said == truth else "F-ERR", "Ignore"),
            )
        )
    return rows


@given(FLOATS, st.floats(-5, 5), st.floats(0, 1))
def test_the_preference_loss_follows_its_equation(differences, margin, share):
    chosen = torch.tensor(differences, dtype=torch.float64)
    margins, shares = torch.full_like(chosen, margin), torch.full_like(chosen, share)
    loss = preference_loss(chosen, torch.zeros_like(chosen), margins, shares)
    slow = [
        (1 - share) * math.log1p(math.exp(-(d - margin))) + share * math.log1p(math.exp(d - margin))
        for d in differences
    ]
    assert loss.item() == pytest.approx(sum(slow) / len(slow), rel=1e-6, abs=1e-9)


def test_equal_scores_lose_the_logarithm_of_two():
    zeros = torch.zeros(3)
    assert preference_loss(zeros, zeros, zeros, zeros).item() == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize("architecture", ["t5", "gpt2", "bert"])
def test_a_preference_model_learns_a_toy_preference(architecture, tmp_path):
    held_out, steps = toy_pairs(50, 2), []
    report = train_preference_model(
        toy_pairs(300, 1),
        tmp_path / "model",
        kind="holistic",
        checkpoint=checkpoint(tmp_path / "start", architecture),
        tokenizer=tokenizer(),
        settings=SETTINGS,
        held_out=held_out,
        on_step=lambda step, total, loss: steps.append((step, total, loss)),
    )
    assert report.last_loss < 0.2
    assert report.accuracy > 0.95 and report.train_accuracy > 0.95
    assert report.length_accuracy == length_accuracy(held_out) and 0.3 < report.length_accuracy < 0.7
    assert (report.pairs, report.held_out_pairs, report.truncated_prompts) == (300, 50, 0)
    assert [(step, total) for step, total, _ in steps] == [(step, 60) for step in range(1, 61)]
    assert report.first_loss > 2 * report.last_loss
    scorer = HolisticScorer(tmp_path / "model")
    good, bad = scorer.score(["question: what is the dog ? red"] * 2, ["the red dog is good .", "the red dog is bad ."])
    assert good.value > bad.value + 1
    assert scorer.version == HolisticScorer(tmp_path / "model").version != "1"


def test_training_twice_gives_the_same_numbers_and_another_seed_others(tmp_path):
    start = checkpoint(tmp_path / "start", "t5")
    scores = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        settings = replace(SETTINGS, steps=5, seed=seed)
        train_preference_model(
            toy_pairs(40, 1), tmp_path / name, kind="completeness", checkpoint=start, tokenizer=tokenizer(),
            settings=settings,
        )  # fmt: skip
        scores.append(CompletenessScorer(tmp_path / name).score(["who ?"], ["the cat is good ."])[0].value)
    assert scores[0] == scores[1] != scores[2]


def test_margins_push_the_scores_apart(tmp_path):
    start = checkpoint(tmp_path / "start", "t5")
    gaps = []
    for name, margins in (("plain", None), ("wide", [8.0] * 100)):
        train_preference_model(
            toy_pairs(100, 1), tmp_path / name, kind="holistic", checkpoint=start, tokenizer=tokenizer(),
            settings=SETTINGS, margins=margins,
        )  # fmt: skip
        scorer, held_out = HolisticScorer(tmp_path / name), toy_pairs(20, 2)
        prompts = [pair.prompt for pair in held_out]
        chosen = scorer.score(prompts, [pair.chosen for pair in held_out])
        rejected = scorer.score(prompts, [pair.rejected for pair in held_out])
        gaps.append(sum(a.value - b.value for a, b in zip(chosen, rejected, strict=True)) / len(held_out))
    assert gaps[1] > gaps[0] + 1


def test_a_batch_reads_each_response_of_a_prompt_once():
    from alarm.reward_modeling.pair_batches import PairGroup, collate_groups
    from alarm.scorers.networks import Encoded

    def response(*ids: int) -> Encoded:
        return Encoded((9,), ids, (len(ids) - 1,))

    groups = [
        PairGroup(
            [response(0, 3), response(0, 4), response(0, 5)], [0, 0, 1], [1, 2, 2], [0.0, 0.5, 0.0], [0.1, 0.0, 0.0]
        ),
        PairGroup([response(0, 6), response(0, 7)], [1], [0], [1.0], [0.2]),
    ]
    batch, pairs = collate_groups(groups, pad_id=0)
    assert batch.response_ids[:, 1].tolist() == [3, 4, 5, 6, 7]
    assert pairs["chosen"].tolist() == [0, 0, 1, 4]
    assert pairs["rejected"].tolist() == [1, 2, 2, 3]
    assert pairs["margin"].tolist() == [0.0, 0.5, 0.0, 1.0]
    assert pairs["soft_label"].tolist() == pytest.approx([0.1, 0.0, 0.0, 0.2])


@pytest.mark.parametrize("architecture", ["t5", "gpt2", "bert"])
def test_a_unit_model_learns_to_compare_a_sentence_with_its_passage(architecture, tmp_path):
    # Untrained absolute positions need far longer to learn to compare, so BERT gets a constant truth.
    truths = ("red",) if architecture == "bert" else COLORS
    report = train_unit_model(
        toy_units(400, 1, truths),
        tmp_path / "model",
        kind="factuality",
        checkpoint=checkpoint(tmp_path / "start", architecture),
        tokenizer=tokenizer(),
        settings=replace(SETTINGS, steps=150, batch_size=64, learning_rate=1e-2),
        held_out=toy_units(60, 2, truths),
    )
    assert report.last_loss < report.first_loss / 2
    assert report.accuracy > 0.9 and report.error_recall > 0.9 and report.error_precision > 0.9
    assert report.majority_accuracy < 0.8
    assert (report.units, report.held_out_units) == (800, 60)
    scorer = FactualityScorer(tmp_path / "model")
    right, wrong, empty = scorer.score(
        ["question: what color ? context: it is red ."] * 3,
        ["It is red . It is big .", "It is blue . It is big .", " "],
    )
    assert [(span.start, span.end) for span in right.spans] == [(0, 11), (11, 23)]
    assert right.spans[0].value == 0.5 and wrong.spans[0].value == -0.5
    assert (empty.value, empty.spans) == (0.5, ())


def test_a_rate_is_the_share_of_good_units(tmp_path):
    scorer = RelevanceScorer.__new__(RelevanceScorer)
    from alarm.scorers.forms import FORMS

    scorer.reader = type("Fixed", (), {"form": FORMS["relevance"]})()
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, 2.0, 1.0], [0.0, 1.0, 1.0], [5.0, 0.0, 1.0]])
    score = scorer.verdict([(0, 3), (3, 7), (7, 9), (9, 12)], logits)
    assert score.value == 0.5
    assert [span.value for span in score.spans] == [0.3, -0.3, -0.3, 0.3]


def test_a_scorer_refuses_anothers_model(tmp_path):
    settings = replace(SETTINGS, steps=1)
    start = checkpoint(tmp_path / "start", "t5")
    train_preference_model(
        toy_pairs(4, 1), tmp_path / "model", kind="holistic", checkpoint=start, tokenizer=tokenizer(),
        settings=settings,
    )  # fmt: skip
    with pytest.raises(ValueError, match="holds a holistic model, not a completeness model"):
        CompletenessScorer(tmp_path / "model")
    with pytest.raises(ValueError, match="2 prompts but 1 responses"):
        HolisticScorer(tmp_path / "model").score(["a", "b"], ["c"])


def test_training_refuses_data_it_cannot_use(tmp_path):
    start = checkpoint(tmp_path / "start", "t5")
    common = dict(checkpoint=start, tokenizer=tokenizer(), settings=SETTINGS)
    with pytest.raises(ValueError, match="needs comparisons"):
        train_preference_model([], tmp_path / "m", kind="holistic", **common)
    with pytest.raises(ValueError, match="2 margins for 3 pairs"):
        train_preference_model(toy_pairs(3, 1), tmp_path / "m", kind="holistic", margins=[0.0, 1.0], **common)
    with pytest.raises(ValueError, match="loss is nan at step 1 of 60"):
        train_preference_model(toy_pairs(3, 1), tmp_path / "m", kind="holistic", margins=[math.nan] * 3, **common)
    with pytest.raises(ValueError, match="needs labelled units"):
        train_unit_model([LabelledUnits("who ?", "", ())], tmp_path / "m", kind="factuality", **common)
    with pytest.raises(ValueError, match="2 labels for the 1 units"):
        train_unit_model([LabelledUnits("", "It is red .", ("O", "O"))], tmp_path / "m", kind="factuality", **common)
    with pytest.raises(ValueError, match="unknown factuality label 'NF-ERR'"):
        train_unit_model([LabelledUnits("", "It is red .", ("NF-ERR",))], tmp_path / "m", kind="factuality", **common)
    assert not (tmp_path / "m").exists()
