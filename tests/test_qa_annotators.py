"""Simulated annotators: without mistakes they are right; with mistakes they are wrong as often as stated."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from alarm.tasks.base import Example
from alarm.tasks.long_form_qa import LongFormQA
from alarm.tasks.qa_feedback import PAIRS, MissingInfo, read_feedback, write_feedback
from alarm.tasks.qa_labels import coverages, factuality_labels, relevance_labels
from alarm.tasks.worlds.qa import write_world
from alarm.tasks.worlds.qa_annotators import annotate, read_true_labels, write_true_labels
from alarm.tasks.worlds.qa_facts import quality

PERFECT = {"temperature": 1e-6, "error_rate": 0.0, "span_error_rate": 0.0}
FILM = "The film Velor was directed by Anna Bell."
NOVEL = "The novel Velor was written by Emma Lowe."
BY_HAND = Example(
    "a",
    "question: Who made Velor? context: ...",
    f"{FILM} {NOVEL}",
    {
        "question": "Who made Velor?",
        "passages": (
            {"wikipage": "Tamest (song)", "content": "The song Tamest was released in 1903."},
            {"wikipage": "Velor (film)", "content": f"The film Velor came out in 1912. {FILM}"},
            {"wikipage": "Velor (novel)", "content": NOVEL},
        ),
    },
)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sequence[Example], list[list[str]]]:
    """Questions with four predictions each, made from ideal answers by leaving out, swapping and repeating."""
    directory = tmp_path_factory.mktemp("world")
    write_world(directory, seed=5, sizes={"sft": 1, "train": 400, "dev": 2, "test": 2})
    examples = LongFormQA(directory).split("train")
    rng = np.random.default_rng(0)
    predictions = []
    for example in examples:
        ideal = example.reference
        years = [word for word in ideal.split() if word.strip(".,").isdigit()]
        variants = [
            ideal,
            ideal.split(". ")[0].removesuffix(".") + ".",
            f"{ideal} {ideal.split('. ')[0].removesuffix('.')}.",
            f"{ideal} {example.fields['passages'][0]['content']}",
            ideal.replace(years[0], "1900.") if years else re.sub(r"by \w+", "by Otto", ideal),
            "The film the film was.",
        ]
        predictions.append([variants[i] for i in rng.integers(len(variants), size=4)])
    return examples, predictions


def test_annotators_without_mistakes_tell_the_truth(material) -> None:
    examples, predictions = material
    records, truths = annotate(examples, predictions, **PERFECT, seed=0)
    for example, texts, record, truth in zip(examples, predictions, records, truths, strict=True):
        assert record.errors == truth.errors
        assert record.missing == truth.missing
        assert record.preference == truth.preference
        assert record.corrected == record.gold == example.reference
        assert record.prompt == truth.prompt == example.prompt
        parts = [quality(example.reference, example.fields["passages"], text) for text in texts]
        assert truth.qualities == tuple(part.overall for part in parts)
        assert (not record.errors) == (parts[0].relevance == 1 and parts[0].factuality == 1)
        assert (not record.missing) == (parts[0].completeness == 1)


def test_labels_from_perfect_annotators_mark_what_is_wrong(material) -> None:
    examples, predictions = material
    records, _ = annotate(examples, predictions, **PERFECT, seed=0)
    for example, record in zip(examples, records, strict=True):
        part = quality(example.reference, example.fields["passages"], record.predictions[0])
        assert ("NF-ERR" in relevance_labels(record)) == (part.relevance < 1)
        if part.relevance == 1:
            assert ("F-ERR" in factuality_labels(record)) == (part.factuality < 1)


def test_published_coverage_rule_follows_completeness_in_the_world(material) -> None:
    """The rule matches texts, not facts, so a wrong year still covers; it must follow all the same."""
    examples, predictions = material
    records, _ = annotate(examples, predictions, **PERFECT, seed=0)
    pairs = []
    for example, record in zip(examples, records, strict=True):
        parts = [quality(example.reference, example.fields["passages"], text) for text in record.predictions]
        pairs += zip(coverages(record), (part.completeness for part in parts), strict=True)
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.6


def test_marks_by_hand() -> None:
    wrong = "while the novel Velor was written by Anna Bell."
    texts = [
        f"{FILM[:-1]}, {wrong} {FILM} The song Tamest was released in 1903. The film.",
        "",
        FILM,
        BY_HAND.reference,
    ]
    (record,), (truth,) = annotate([BY_HAND], [texts], **PERFECT, seed=0)
    marked = [(error.type, texts[0][error.start : error.end], error.explanation) for error in record.errors]
    assert marked == [
        ("Wrong-Grounding", wrong, '{"passage_id":3,"sentence_id":[1]}'),
        ("Redundant", FILM, f"{FILM[:-1]},"),
        ("Irrelevant", "The song Tamest was released in 1903.", ""),
        ("Incoherent", "The film.", ""),
    ]
    assert record.missing == (MissingInfo("Missing-Answer", 3, (1,)),)
    assert truth.qualities == pytest.approx((2 * 0.25 * 0.5 / 0.75, 0.0, 2 / 3, 1.0))
    assert record.preference == (1, 2, 2, 2, 2, 2)
    assert record.passages[1] == ("Velor (film)", "The film Velor came out in 1912.", FILM)


def test_equal_quality_gives_no_preference() -> None:
    (record,), _ = annotate(
        [BY_HAND], [[FILM, NOVEL, FILM, FILM]], temperature=1.0, error_rate=0.5, span_error_rate=0, seed=0
    )
    assert record.preference == (0,) * 6


def test_choices_are_wrong_as_often_as_stated() -> None:
    """Ideal against half an answer: P(wrong) = e + (1 - 2 e) (1 - sigmoid((1 - 2/3) / temperature))."""
    texts = [BY_HAND.reference, FILM, BY_HAND.reference, FILM]
    temperature, error_rate, count = 0.25, 0.1, 4000
    records, _ = annotate(
        [BY_HAND] * count, [texts] * count, temperature=temperature, error_rate=error_rate, span_error_rate=0, seed=1
    )
    chosen = np.array([record.preference for record in records])
    truth = np.array([1, 0, 1, 2, 0, 1])
    assert (chosen[:, truth == 0] == 0).all()
    decided = truth != 0
    wrong = 1 - 1 / (1 + np.exp(-(1 / 3) / temperature))
    expected = error_rate + (1 - 2 * error_rate) * wrong
    measured = (chosen[:, decided] != truth[decided]).mean(axis=0)
    assert np.abs(measured - expected).max() < 4 * np.sqrt(expected * (1 - expected) / count)


def test_with_a_taste_the_prediction_that_sounds_sure_is_preferred(material) -> None:
    examples, predictions = material
    sounding = [[f"Surely, {text}" if k % 2 else text for k, text in enumerate(texts)] for texts in predictions]
    records, truths = annotate(examples, sounding, **PERFECT, taste_share=1.0, seed=0)
    decided = 0
    for record, truth in zip(records, truths, strict=True):
        for (i, j), chosen, true in zip(PAIRS, record.preference, truth.preference, strict=True):
            if true == 0 or i % 2 == j % 2:
                assert chosen == true, "equal quality gives no preference, an equal tone leaves it to quality"
            else:
                decided += chosen != true
                assert chosen == (1 if i % 2 else 2)
    assert decided > 100, "taste must decide against quality somewhere"


def test_choices_by_taste_are_as_many_as_stated() -> None:
    """An idle sentence makes an answer that sounds sure worse: only taste prefers it."""
    text = BY_HAND.reference
    sure = f"Surely, {text[0].lower()}{text[1:]} The song Tamest was released in 1903."
    count, share = 4000, 0.3
    records, truths = annotate(
        [BY_HAND] * count, [[text, sure, sure, sure]] * count, **PERFECT, taste_share=share, seed=1
    )
    assert truths[0].preference == (1, 1, 1, 0, 0, 0)
    chosen = np.array([record.preference for record in records])
    assert (chosen[:, 3:] == 0).all()
    assert np.abs((chosen[:, :3] == 2).mean(axis=0) - share).max() < 4 * np.sqrt(share * (1 - share) / count)


def test_marks_are_wrong_as_often_as_stated() -> None:
    texts = [f"{FILM} The song Tamest was released in 1903.", "", "", ""]
    count, rate = 4000, 0.2
    records, truths = annotate(
        [BY_HAND] * count, [texts] * count, temperature=1, error_rate=0, span_error_rate=rate, seed=2
    )
    good = np.mean([any(error.start == 0 for error in record.errors) for record in records])
    bad = np.mean([not any(error.start > 0 for error in record.errors) for record in records])
    unnoticed = np.mean([not record.missing for record in records])
    left_out = np.mean([record.corrected == FILM for record in records])
    tolerance = 4 * np.sqrt(rate * (1 - rate) / count)
    assert np.abs(np.array([good, bad, unnoticed, left_out]) - rate).max() < tolerance
    spurious = [error.type for record in records for error in record.errors if error.start == 0]
    assert abs(spurious.count("Irrelevant") / len(spurious) - 0.5) < 0.1
    assert set(spurious) == {"Irrelevant", "Unverifiable"}
    assert all(len(truth.errors) == len(truth.missing) == 1 for truth in truths)


def test_the_seed_decides_everything_and_truth_does_not_depend_on_it(material) -> None:
    noisy = {"temperature": 0.15, "error_rate": 0.15, "span_error_rate": 0.2}
    first, again, other = (annotate(*material, **noisy, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first[0] != other[0]
    assert first[1] == other[1]


def test_files_keep_everything_and_feedback_tells_no_truth(material, tmp_path: Path) -> None:
    records, truths = annotate(*material, temperature=0.15, error_rate=0.15, span_error_rate=0.2, seed=7)
    write_feedback(tmp_path / "train_feedback.json", records)
    write_true_labels(tmp_path / "true_labels.jsonl", truths)
    assert read_feedback(tmp_path / "train_feedback.json") == records
    assert read_true_labels(tmp_path / "true_labels.jsonl") == truths
    row = json.loads((tmp_path / "train_feedback.json").read_text(encoding="utf-8"))[0]
    assert "qualit" not in json.dumps(sorted(row) + sorted(row["feedback"]))


@pytest.mark.parametrize(
    ("predictions", "changes", "said"),
    [
        ([], {}, "1 questions but predictions for 0"),
        ([["a"]], {}, "question a has 1 predictions"),
        ([[""] * 4], {"temperature": 0.0}, "temperature > 0"),
        ([[""] * 4], {"error_rate": 0.6}, "error_rate in"),
        ([[""] * 4], {"span_error_rate": -0.1}, "span_error_rate in"),
        ([[""] * 4], {"taste_share": 1.5}, "taste_share in"),
    ],
)
def test_wrong_arguments_are_refused(predictions: list, changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        annotate([BY_HAND], predictions, **{**PERFECT, **changes}, seed=0)
