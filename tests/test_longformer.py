"""Fine-Grained RLHF's checkpoints: each weight finds its place by name; inputs and labels are those of training."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import LongformerForSequenceClassification, LongformerForTokenClassification

from alarm.scorers.base import Placement, Span
from alarm.scorers.forms import FORMS
from alarm.scorers.longformer import (
    FOLDERS,
    SCORERS,
    LongformerCompleteness,
    LongformerFactuality,
    LongformerRelevance,
    find_aspects,
    load_aspects,
)
from tests.hub_models import byte_tokenizer, classifier, longformer

LABELS = {"factuality": ("F-ERR", "Ignore", "O"), "relevance": ("Ignore", "NF-ERR", "O"), "completeness": None}
KINDS = {scorer.name: scorer for scorer in SCORERS}
PROMPT = "question: Who won?  context: wikipage: Cup text: Ann won it. | wikipage: Dogs text: They bark. "
RESPONSES = [
    "Ann won the cup in 1990, and she was the first woman who did so. Bob came second.",
    "Ann won.",
    "",
    "No dog ever won a cup; that is known. It is also known that dogs bark, as the second page says. Cats do not.",
]
PROMPTS = [PROMPT, "question: Why? context: ", PROMPT, PROMPT]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("model_outputs")
    for kind, name in FOLDERS.items():
        longformer(root / name, labels=LABELS[kind], seed=len(kind))
        if LABELS[kind]:
            longformer(root / name, labels=LABELS[kind], seed=len(kind), changes=balanced(kind, root / name))
    return {"root": root, **{kind: root / name for kind, name in FOLDERS.items()}}


def balanced(kind: str, folder) -> dict[str, torch.Tensor]:
    """The bias with which a random network finds some of the units good and others not."""
    reader, good, bad = KINDS[kind](folder).reader, 2, {"factuality": 0, "relevance": 1}[kind]
    logits = torch.cat(reader.logits(PROMPTS, units_of(kind)))
    margins = logits[:, good] - logits[:, bad]
    bias = reader.network.classifier.bias.detach().clone()
    bias[good] -= (margins.min() + margins.max()) / 2
    return {"classifier.bias": bias}


def units_of(kind: str) -> list[list[str]]:
    return [[text[start:end] for start, end in FORMS[kind].unit_spans(text)] for text in RESPONSES]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["bin", "safetensors"])
def test_no_weight_is_missing_or_left_over(tmp_path, kind, layout):
    longformer(tmp_path, labels=LABELS[kind], layout=layout)
    file = next(path for path in tmp_path.iterdir() if path.suffix in (".bin", ".safetensors"))
    stored = load_file(file) if layout == "safetensors" else torch.load(file, weights_only=True)
    loaded = KINDS[kind](tmp_path).reader.network.state_dict()
    assert set(loaded) == set(stored)
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)


def released_logits(folder, kind: str, response: str, prompt: str):
    """The released inference on one text: what it feeds the network, and the logits that it reads, one row a unit."""
    form, question = FORMS[kind], "question: Who won?"
    passages = " context: wikipage: Cup text: Ann won it. wikipage: Dogs text: They bark."
    seen = question if kind == "relevance" else question + passages
    if "Why" in prompt:
        seen = "question: Why?" + (" context:" if kind != "relevance" else "")
    scorer = KINDS[kind](folder)
    tokenizer = scorer.reader.tokenizer
    if not form.labels:
        tokens = tokenizer(f"{seen} answer: {response}", return_tensors="pt")
        network = LongformerForSequenceClassification.from_pretrained(folder).eval()
        with torch.no_grad():
            return network(**tokens).logits
    units = " ".join(f"</s> {response[start:end]}" for start, end in form.unit_spans(response))
    tokens = tokenizer(f"{seen} answer: {units}".split(), is_split_into_words=True, return_tensors="pt")
    separators = (tokens.input_ids[0] == tokenizer.convert_tokens_to_ids("</s>")).nonzero().flatten()
    network = LongformerForTokenClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = network(**tokens).logits[0]
    return logits[separators[: len(form.unit_spans(response))]]


@pytest.mark.parametrize("kind", ["factuality", "relevance"])
def test_units_are_judged_as_by_the_released_inference(folders, kind):
    scorer = KINDS[kind](folders[kind])
    pair = {"factuality": (0, 2), "relevance": (1, 2)}[kind]
    reward = {"factuality": 0.5, "relevance": 0.3}[kind]
    scores, verdicts = scorer.score(PROMPTS, RESPONSES), []
    for prompt, response, score in zip(PROMPTS, RESPONSES, scores, strict=True):
        good = [bool(row[pair[1]] > row[pair[0]]) for row in released_logits(folders[kind], kind, response, prompt)]
        spans = FORMS[kind].unit_spans(response)
        assert score.spans == tuple(
            Span(*span, reward if ok else -reward) for span, ok in zip(spans, good, strict=True)
        )
        assert score.value == (sum(good) / len(good) if good else 0.5)
        verdicts += good
    assert len(set(verdicts)) == 2 and scores[2].spans == ()


def test_completeness_is_the_sequence_logit(folders):
    scores = LongformerCompleteness(folders["completeness"]).score(PROMPTS, RESPONSES)
    expected = [
        released_logits(folders["completeness"], "completeness", response, prompt).item()
        for prompt, response in zip(PROMPTS, RESPONSES, strict=True)
    ]
    assert [score.value for score in scores] == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_the_batch(folders, kind):
    """Logits within 1e-4, though rows are padded to one another and to the attention window."""
    reader = KINDS[kind](folders[kind]).reader
    alone = reader.logits(PROMPTS, units_of(kind), batch_size=1)
    together = reader.logits(PROMPTS, units_of(kind), batch_size=8)
    assert sum(map(len, alone)) >= 3
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_prompt_is_cut_at_its_end_and_no_unit_is_lost(folders, kind):
    scorer = KINDS[kind](folders[kind])
    assert scorer.reader.max_tokens == 1024  # of 1,026 positions two belong to padding
    long = "question: " + "what is it " * 200 + "context: " + "wikipage: A text: much. " * 200
    (score,) = scorer.score([long], [RESPONSES[0]])
    assert scorer.reader.truncated_prompts == scorer.count_cut([long, PROMPT], RESPONSES[:2]) == 1
    assert len(score.spans) == len(FORMS[kind].unit_spans(RESPONSES[0])) * bool(LABELS[kind])


def test_semantics_are_those_of_the_learned_scorers(folders):
    aspects = load_aspects(folders["root"])
    assert {name: scorer.placement for name, scorer in aspects.items()} == {
        "factuality": Placement.UNIT_END,
        "relevance": Placement.UNIT_END,
        "completeness": Placement.LAST,
    }
    assert [aspects[name].scale for name in aspects] == [1.0, 1.0, 0.3]
    assert aspects["completeness"].normalize and aspects["completeness"].log_odds
    assert aspects["factuality"].version.startswith("longformer fact_rm:")
    assert len({scorer.version for scorer in aspects.values()}) == 3


def test_unnamed_labels_are_in_alphabetical_order(folders, tmp_path):
    labels, seed, changes = (
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        len("factuality"),
        balanced("factuality", folders["factuality"]),
    )
    unnamed = longformer(tmp_path, labels=labels, seed=seed, changes=changes)
    one, other = (LongformerFactuality(path).score(PROMPTS, RESPONSES) for path in (folders["factuality"], unnamed))
    assert one == other


@pytest.mark.parametrize(
    ("labels", "scorer", "problem"),
    [
        (
            LABELS["relevance"],
            LongformerFactuality,
            r"has the labels Ignore, NF-ERR, O, but a factuality model has F-E",
        ),
        (("O", "NF-ERR", "Ignore"), LongformerRelevance, r"has the labels O, NF-ERR, Ignore, but a relevance model"),
        (("LABEL_0", "LABEL_1"), LongformerRelevance, r"has the labels LABEL_0, LABEL_1, but"),
        (LABELS["factuality"], LongformerCompleteness, r"but a completeness model has one output; is it another"),
        (None, LongformerFactuality, r"has the labels LABEL_0, but a factuality model has"),
    ],
)
def test_another_aspects_model_is_refused(tmp_path, labels, scorer, problem):
    with pytest.raises(ValueError, match=problem):
        scorer(longformer(tmp_path, labels=labels))


def test_a_missing_or_foreign_weight_is_named(tmp_path):
    name = "longformer.encoder.layer.1.attention.self.key_global.weight"
    longformer(tmp_path / "a", labels=None, changes={name: None})
    with pytest.raises(ValueError, match=rf"lacks {name}"):
        LongformerCompleteness(tmp_path / "a")
    longformer(tmp_path / "b", labels=LABELS["relevance"], changes={"longformer.pooler.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"also holds longformer\.pooler\.weight"):
        LongformerRelevance(tmp_path / "b")


def test_what_older_transformers_stored_besides_is_no_weight(tmp_path):
    positions = {"longformer.embeddings.position_ids": torch.arange(1026).unsqueeze(0)}
    LongformerCompleteness(longformer(tmp_path, labels=None, changes=positions))


def test_another_architecture_and_a_missing_folder_are_named(tmp_path, folders):
    byte_tokenizer(pad="<pad>").save_pretrained(classifier(tmp_path / "fact_rm", "bert", outputs=3))
    with pytest.raises(ValueError, match="is a bert model, not a longformer"):
        LongformerFactuality(tmp_path / "fact_rm")
    with pytest.raises(ValueError, match="is a bert model, not a longformer"):
        find_aspects(tmp_path)
    shutil.rmtree(tmp_path / "fact_rm")
    with pytest.raises(ValueError, match=r"has no folder fact_rm or factuality with the factuality model"):
        find_aspects(tmp_path)
    assert set(find_aspects(folders["root"])) == set(KINDS)
