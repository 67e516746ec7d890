"""Classifiers with one output as reward models: a batch scores as the model scores each text alone."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from alarm.scorers.sequence_classifier import ClassifierScorer
from tests.hub_models import CHAT, byte_tokenizer, classifier

PROMPTS = ["who won?", "", "translate: ein Hund – draußen ", "x" * 50, "who won?"]
RESPONSES = ["Ann won.", "A dog.", "", "The old bridge opened.", "Bob did not win, of course."]
WITHOUT_PAD = {"pad_token_id": None}
MODELS = {
    "llama": ("llama", WITHOUT_PAD, {}),
    "llama, chat": ("llama", WITHOUT_PAD, {"chat": CHAT}),
    "llama, pad is end": ("llama", {"pad_token_id": 2}, {"pad": "</s>", "chat": CHAT}),
    "llama, pad unknown to the embeddings": ("llama", {"pad_token_id": -1}, {"chat": CHAT}),
    "gpt2": ("gpt2", WITHOUT_PAD, {}),
    "bert": ("bert", {"pad_token_id": 1}, {"pad": "<pad>"}),
    "roberta": ("roberta", {"pad_token_id": 1, "type_vocab_size": 1}, {"pad": "<pad>"}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for name, (model_type, config, tokens) in MODELS.items():
        made[name] = classifier(tmp_path_factory.mktemp("classifier"), model_type, **config)
        byte_tokenizer(**tokens).save_pretrained(made[name])
    return made


def explicit_score(folder, text: str | tuple[str, str], **options) -> float:
    """The stock model on one text without any padding."""
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = byte_tokenizer()(*([text] if isinstance(text, str) else text), return_tensors="pt", **options)
    types = {"token_type_ids": tokens.token_type_ids} if network.config.model_type == "bert" else {}
    with torch.no_grad():
        return network(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, **types).logits.item()


def values(scorer, prompts=PROMPTS, responses=RESPONSES) -> list[float]:
    return [score.value for score in scorer.score(prompts, responses)]


@pytest.mark.parametrize("name", MODELS)
def test_the_score_is_that_of_the_model_on_one_text(folders, name):
    scorer = ClassifierScorer(folders[name])
    pairs = list(zip(PROMPTS, RESPONSES, strict=True))
    if "chat" in MODELS[name][2]:
        assert scorer.form == "chat template"
        texts = [f"<s>user: {prompt.strip()}</s><s>assistant: {response}</s>" for prompt, response in pairs]
        expected = [explicit_score(folders[name], text, add_special_tokens=False) for text in texts]
    else:
        assert scorer.form == "pair of texts"
        expected = [explicit_score(folders[name], pair) for pair in pairs]
    assert values(scorer) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert len({round(value, 3) for value in expected}) == len(expected)


@pytest.mark.parametrize("name", MODELS)
def test_scores_do_not_depend_on_the_batch(folders, name):
    """A response that is cut off in the middle of a word, or ends with any token, is read at that token."""
    responses = [*RESPONSES, *"abcdefghijk"]
    prompts = [*PROMPTS, *["p"] * 11]
    alone = values(ClassifierScorer(folders[name], batch_size=1), prompts, responses)
    together = values(ClassifierScorer(folders[name], batch_size=8), prompts, responses)
    assert together == pytest.approx(alone, rel=1e-4, abs=1e-5)


def test_the_configuration_is_left_as_it_was(folders):
    scorer = ClassifierScorer(folders["llama"])
    scorer.score(PROMPTS, RESPONSES)
    assert scorer.network.config.pad_token_id is None


@pytest.mark.filterwarnings("ignore:a prompt was cut")
@pytest.mark.parametrize("name", ["llama", "llama, chat"])
def test_the_prompt_is_cut_at_its_end_and_never_the_response(folders, name):
    prompt, response = "the beginning counts, " + "but not the end, " * 20 + "is it?", "A whole response."
    scorer = ClassifierScorer(folders[name], max_tokens=100)
    whole = len(scorer.encode(prompt, response)[1])
    kept = prompt[: len(prompt) - (whole - 100)]
    assert 0 < len(kept) < len(prompt)
    if scorer.form == "pair of texts":
        expected = explicit_score(folders[name], (kept, response))
    else:
        # Not `kept` through the template, which would strip it.
        text = f"<s>user: {kept}</s><s>assistant: {response}</s>"
        expected = explicit_score(folders[name], text, add_special_tokens=False)
    assert values(scorer, [prompt], [response]) == pytest.approx([expected], rel=1e-4)
    assert scorer.truncated_prompts == 1


def test_a_prompt_that_repeats_the_template_or_the_response_is_found(folders):
    scorer = ClassifierScorer(folders["llama, chat"])
    for prompt, response in (("user", "user"), ("assistant: s", "s"), ("<s>user: a", "a")):
        inputs, of_prompt = scorer.encode(prompt, response)
        shown = [i for i, is_prompt in zip(inputs["input_ids"], of_prompt, strict=True) if is_prompt]
        assert scorer.tokenizer.decode(shown) == prompt


def test_a_model_without_its_head_is_refused(tmp_path):
    folder = classifier(tmp_path, "llama", head=False)
    byte_tokenizer().save_pretrained(folder)
    with pytest.raises(ValueError, match=r"is no LlamaForSequenceClassification: it lacks score\.weight"):
        ClassifierScorer(folder)


def test_more_than_one_output_is_refused(tmp_path):
    byte_tokenizer().save_pretrained(classifier(tmp_path, "llama", outputs=3))
    with pytest.raises(ValueError, match="has 3 outputs, but a reward model has one"):
        ClassifierScorer(tmp_path)


def test_an_architecture_without_classifier_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="is a vit model, for which transformers has no sequence classifier"):
        ClassifierScorer(tmp_path)


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no tokenizer that can be read"):
        ClassifierScorer(classifier(tmp_path, "bert", pad_token_id=1))
