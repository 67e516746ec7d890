"""Translation metrics: sacreBLEU's own numbers, with their signatures."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.evaluation.translation import corpus_scores, paired_bootstrap, sentence_chrf

RESPONSES = ["A dog is running in the park.", "Two men is reading a books."]
REFERENCES = ["A dog is running in the garden.", "Two men are reading a book."]


def test_corpus_scores_are_sacrebleus() -> None:
    import sacrebleu

    found = corpus_scores(RESPONSES, REFERENCES)
    assert list(found) == ["bleu", "chrf", "ter"]
    for name, function in (("bleu", "corpus_bleu"), ("chrf", "corpus_chrf"), ("ter", "corpus_ter")):
        assert found[name].value == getattr(sacrebleu, function)(RESPONSES, [REFERENCES]).score
    assert {name: score.higher_is_better for name, score in found.items()} == {
        "bleu": True, "chrf": True, "ter": False,
    }  # fmt: skip


def test_bleu_by_hand() -> None:
    # Precisions 5/5, 3/4, 2/3 and 1/2, brevity penalty exp(1 - 6/5); TER inserts one word of six.
    scores = corpus_scores(["the cat sat on mat"], ["the cat sat on the mat"])
    assert scores["bleu"].value == pytest.approx(100 * math.exp(1 - 6 / 5) * (1 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert scores["ter"].value == pytest.approx(100 / 6)


def test_ter_by_hand() -> None:
    # Three of thirteen reference words differ ("garden.", "are", "book."; "." belongs to its word).
    assert corpus_scores(RESPONSES, REFERENCES)["ter"].value == pytest.approx(100 * 3 / 13)


def test_signatures_say_what_was_counted() -> None:
    found = corpus_scores(RESPONSES, REFERENCES)
    for part in ("nrefs:1", "case:mixed", "tok:13a", "smooth:exp", "version:"):
        assert part in found["bleu"].signature
    for part in ("nrefs:1", "nc:6", "nw:0", "version:"):
        assert part in found["chrf"].signature
    assert "tok:tercom" in found["ter"].signature
    assert json.loads(json.dumps(found["chrf"].to_dict()))["name"] == "chrF2"


def test_order_does_not_matter_and_corpus_is_no_mean_of_sentences() -> None:
    forward = corpus_scores(RESPONSES, REFERENCES)
    backward = corpus_scores(RESPONSES[::-1], REFERENCES[::-1])
    for name in forward:
        assert forward[name].value == pytest.approx(backward[name].value, rel=1e-12)
    mean = sum(sentence_chrf(RESPONSES, REFERENCES)) / 2
    assert forward["chrf"].value != pytest.approx(mean, abs=0.1)


def test_perfect_and_empty_translations() -> None:
    found = corpus_scores(REFERENCES, REFERENCES)
    assert found["bleu"].value == pytest.approx(100)
    assert found["ter"].value == 0
    empty = corpus_scores(["", ""], REFERENCES)
    assert empty["bleu"].value == empty["chrf"].value == 0
    assert empty["ter"].value == pytest.approx(100)


def test_lists_must_fit() -> None:
    with pytest.raises(ValueError, match="2 responses and 1 references"):
        corpus_scores(RESPONSES, REFERENCES[:1])
    with pytest.raises(ValueError, match="0 responses"):
        corpus_scores([], [])
    with pytest.raises(ValueError, match="2 responses but 1 references"):
        sentence_chrf(RESPONSES, REFERENCES[:1])


def test_sentence_chrf_by_hand() -> None:
    # "abc" against "abd": 1-grams 2 of 3, 2-grams 1 of 2, 3-grams 0 of 1; longer ones do not exist and do not count.
    # Precision and recall are both (2/3 + 1/2 + 0) / 3, and so is every F.
    assert sentence_chrf(["abc"], ["abd"]) == [pytest.approx(100 * (2 / 3 + 1 / 2) / 3)]
    assert sentence_chrf([], []) == []


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=5))
def test_sentence_chrf_is_bounded_and_independent_of_the_batch(pairs: list[tuple[str, str]]) -> None:
    responses, references = [a for a, _ in pairs], [b for _, b in pairs]
    found = sentence_chrf(responses, references)
    assert all(0 <= score <= 100 for score in found)
    assert found == [sentence_chrf([a], [b])[0] for a, b in pairs]
    assert sentence_chrf([""], ["A dog."]) == [0.0]


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30))
def test_a_copy_of_the_reference_has_100(text: str) -> None:
    assert sentence_chrf([text], [text]) == [100.0]


SYSTEMS = {
    "good": ["A dog is running in the garden.", "Two men are reading a books.", "A cat sleeps on the old sofa."] * 8,
    "bad": ["The dog run in a garden.", "Two men is reading a books.", "The cat sleep on a old sofa."] * 8,
    "copy": ["The dog run in a garden.", "Two men is reading a books.", "The cat sleep on a old sofa."] * 8,
}
TRUE = ["A dog is running in the garden.", "Two men are reading a book.", "A cat sleeps on the old sofa."] * 8


def test_paired_bootstrap_scores_are_the_corpus_scores_and_its_p_values_say_who_differs() -> None:
    found = paired_bootstrap(SYSTEMS, TRUE, "bad", resamples=200)
    for name, responses in SYSTEMS.items():
        expected = corpus_scores(responses, TRUE)
        assert {metric: score.score.value for metric, score in found[name].items()} == {
            metric: score.value for metric, score in expected.items()
        }
        assert {m: s.score.higher_is_better for m, s in found[name].items()} == {
            m: s.higher_is_better for m, s in expected.items()
        }
    assert list(found) == ["bad", "good", "copy"]
    assert all(score.p is None for score in found["bad"].values())
    assert all(score.p == pytest.approx(1 / 201) for score in found["good"].values())
    assert all(score.p == 1 for score in found["copy"].values()), "a copy of the baseline is no other system"
    assert found == paired_bootstrap(SYSTEMS, TRUE, "bad", resamples=200), "the same resamples every time"


def test_paired_bootstrap_is_sacrebleus_command(tmp_path) -> None:
    files = {name: tmp_path / name for name in ("bad", "good")}
    for name, path in files.items():
        path.write_text("\n".join(SYSTEMS[name]) + "\n")
    (tmp_path / "reference").write_text("\n".join(TRUE) + "\n")
    command = [sys.executable, "-m", "sacrebleu", str(tmp_path / "reference"), "-i", *map(str, files.values())]
    command += ["-m", "bleu", "chrf", "ter", "--paired-bs", "--paired-bs-n", "200", "--format", "json"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = paired_bootstrap({name: SYSTEMS[name] for name in files}, TRUE, "bad", resamples=200)
    rows = {Path(row["system"].removeprefix("Baseline: ")).name: row for row in printed}
    for name, metrics in found.items():
        for metric in metrics.values():
            cell = rows[name][metric.score.name]
            assert cell["score"] == pytest.approx(metric.score.value, abs=1e-6)
            assert cell["mean"] == pytest.approx(metric.mean, abs=1e-6)
            assert cell["ci"] == pytest.approx(metric.half_width, abs=1e-6)
            assert cell["p_value"] == metric.p or cell["p_value"] == pytest.approx(metric.p, abs=1e-6)


def test_paired_bootstrap_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"unknown baseline 'sft'.*Known: bad, copy, good"):
        paired_bootstrap(SYSTEMS, TRUE, "sft")
    with pytest.raises(ValueError, match="good has 24 responses and there are 23 references"):
        paired_bootstrap(SYSTEMS, TRUE[1:], "bad")
    with pytest.raises(ValueError, match="0 references"):
        paired_bootstrap({"bad": []}, [], "bad")
