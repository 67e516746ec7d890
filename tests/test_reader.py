"""Text forms, marks, cutting of prompts and independence of batching, for every kind of network."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alarm.registry import UnknownNameError
from alarm.scorers.forms import FORMS, question_of
from alarm.scorers.networks import Encoded, collate, segment_likelihoods, token_likelihoods
from alarm.scorers.reader import Reader, checksum
from tests.tiny_models import WORDS, checkpoint, tokenizer

ARCHITECTURES = ("t5", "gpt2", "bert")
PROMPT = "question: what color is the cat ? context: wikipage: cat text: the cat is red ."
RESPONSE = "the cat is red . It is big ."
TEXTS = st.lists(st.sampled_from([word for word in WORDS if word.isalpha()]), max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def readers(tmp_path_factory) -> dict[tuple[str, str], Reader]:
    readers = {}
    for architecture in ARCHITECTURES:
        folder = checkpoint(tmp_path_factory.mktemp(architecture), architecture)
        for kind in FORMS:
            reader = Reader.from_checkpoint(folder, tokenizer(), kind, seed=1, max_tokens=100)
            reader.network.eval()
            readers[architecture, kind] = reader
    return readers


def tokens(reader: Reader, ids) -> str:
    return " ".join(reader.tokenizer.convert_ids_to_tokens(ids))


def units(reader: Reader, response: str) -> list[str]:
    return [response[start:end] for start, end in reader.form.unit_spans(response)]


def test_question_of_leaves_the_passages_out():
    assert question_of(PROMPT) == "question: what color is the cat ?"
    assert question_of("no passages here") == "no passages here"


def test_labels_are_in_alphabetical_order():
    assert FORMS["factuality"].labels == ("F-ERR", "Ignore", "O")
    assert FORMS["relevance"].labels == ("Ignore", "NF-ERR", "O")
    assert not FORMS["holistic"].labels and not FORMS["completeness"].labels


def test_a_unit_is_good_only_if_its_logit_beats_the_error_and_a_tie_is_bad():
    logits = torch.tensor([[1.0, 9.0, 2.0], [2.0, 0.0, 2.0], [3.0, 0.0, 2.0]])
    assert FORMS["factuality"].good(logits).tolist() == [True, False, False]
    assert FORMS["relevance"].good(logits).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("architecture", "kind", "prompt", "response", "marks"),
    [
        ("t5", "holistic", PROMPT, f"<pad> {RESPONSE} </s>", [10]),
        ("t5", "factuality", PROMPT, f"<pad> {RESPONSE}", [5, 9]),
        ("t5", "relevance", question_of(PROMPT), f"<pad> {RESPONSE}", [5, 9]),
        ("gpt2", "holistic", "", f"Human: {PROMPT}\nAssistant: {RESPONSE}", [-1]),
        ("bert", "completeness", "", f"{PROMPT} answer: {RESPONSE}", [-1]),
        ("bert", "factuality", "", f"{PROMPT} answer: </s> the cat is red . </s> It is big .", [-11, -5]),
        ("gpt2", "factuality", "", f"{PROMPT} answer: the cat is red . </s> It is big . </s>", [-6, -1]),
        ("bert", "relevance", "", f"{question_of(PROMPT)} answer: </s> the cat is red . </s> It is big .", [-11, -5]),
    ],
)
def test_text_forms(readers, architecture, kind, prompt, response, marks):
    reader = readers[architecture, kind]
    (encoded,) = reader.encode([PROMPT], [units(reader, RESPONSE)])

    def spaced(text):
        return " ".join(reader.tokenizer.tokenize(text))

    assert tokens(reader, encoded.prompt_ids) == spaced(prompt)
    assert tokens(reader, encoded.response_ids) == spaced(response)
    assert list(encoded.marks) == [mark % len(encoded.response_ids) for mark in marks]
    if reader.form.labels and architecture != "t5":
        assert {tokens(reader, [encoded.response_ids[mark]]) for mark in encoded.marks} == {"</s>"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", list(FORMS))
def test_a_long_prompt_is_cut_at_its_end_and_the_response_stays(readers, architecture, kind):
    reader = readers[architecture, kind]
    before = reader.truncated_prompts
    long = "question: " + "the cat is very old and " * 40  # without passages, so that relevance reads it all
    (encoded,) = reader.encode([long], [units(reader, RESPONSE)])
    (short,) = reader.encode(["the"], [units(reader, RESPONSE)])
    assert reader.truncated_prompts == before + 1
    assert len(encoded.prompt_ids or encoded.response_ids) == 100
    assert encoded.response_ids[-6:] == short.response_ids[-6:]
    cut_text = tokens(reader, encoded.prompt_ids or encoded.response_ids)
    assert "question : the cat is very old and the cat" in cut_text


@pytest.mark.parametrize("kind", ["holistic", "factuality"])
def test_a_response_beyond_the_limit_is_refused(readers, kind):
    with pytest.raises(ValueError, match="raise max_tokens"):
        readers["bert", kind].encode([PROMPT], [["the cat " * 60]])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["holistic", "factuality"])
@given(data=st.data())
@settings(max_examples=8)
def test_logits_do_not_depend_on_the_batch(readers, architecture, kind, data):
    reader = readers[architecture, kind]
    prompts = data.draw(st.lists(TEXTS, min_size=1, max_size=9))
    responses = [data.draw(TEXTS.filter(bool)) for _ in prompts]
    pieces = [units(reader, response) for response in responses]
    alone = reader.logits(prompts, pieces, batch_size=1)
    together = reader.logits(prompts, pieces, batch_size=8)
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["holistic", "relevance"])
def test_a_saved_reader_reads_the_same(readers, architecture, kind, tmp_path):
    reader = readers[architecture, kind]
    reader.save(tmp_path)
    loaded = Reader.load(tmp_path)
    assert (loaded.form, loaded.max_tokens) == (reader.form, 100)
    arguments = [PROMPT, "who ?"], [units(reader, RESPONSE), ["the dog is blue ."]]
    for one, other in zip(reader.logits(*arguments), loaded.logits(*arguments), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert len(checksum(tmp_path)) == 12


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_weights_below_the_head_come_from_the_checkpoint(architecture, tmp_path):
    folder = checkpoint(tmp_path, architecture, seed=5)
    one, same, other_head = (
        Reader.from_checkpoint(folder, tokenizer(), "holistic", seed=seed).network.state_dict() for seed in (1, 1, 2)
    )
    differing = {name for name in one if not torch.equal(one[name], other_head[name])}
    assert differing and all(name.startswith(("head", "score", "classifier", "bert.pooler")) for name in differing)
    assert all(torch.equal(one[name], same[name]) for name in one)


def test_the_global_random_state_is_left_alone(tmp_path):
    folder = checkpoint(tmp_path, "t5")
    before = torch.get_rng_state()
    Reader.from_checkpoint(folder, tokenizer(), "holistic", seed=3).save(folder)
    Reader.load(folder)
    assert torch.equal(before, torch.get_rng_state())


def test_a_tokenizer_that_hides_the_last_token_is_refused(tmp_path):
    folder = checkpoint(tmp_path, "gpt2")
    for pad in (None, "</s>"):
        words = tokenizer()
        words.pad_token = pad
        with pytest.raises(ValueError, match="pad token other than its end token"):
            Reader.from_checkpoint(folder, words, "holistic", seed=0)


def test_unknown_kinds_and_empty_folders_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'relevance'"):
        Reader.from_checkpoint(checkpoint(tmp_path / "t5", "t5"), tokenizer(), "relevence", seed=0)
    with pytest.raises(ValueError, match="holds no learned scorer"):
        Reader.load(tmp_path)


def test_an_empty_prompt_or_response_is_an_end_token(readers):
    whole, unit = readers["t5", "holistic"], readers["t5", "factuality"]
    (encoded,) = whole.encode([""], [[""]])
    assert (tokens(whole, encoded.prompt_ids), tokens(whole, encoded.response_ids)) == ("</s>", "<pad> </s>")
    (encoded,) = unit.encode(["the"], [[]])
    assert (tokens(unit, encoded.response_ids), encoded.marks) == ("<pad>", ())
    assert unit.logits(["the", "who"], [[], ["the cat"]])[0].shape == (0, 3)
    assert unit.logits([], []) == []


@given(st.data())
def test_likelihoods_of_segments_by_a_slow_loop(data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    lengths = data.draw(st.lists(st.integers(2, 7), min_size=1, max_size=4))
    items = []
    for length in lengths:
        marks = sorted(data.draw(st.sets(st.integers(1, length - 1))))
        ids = (0, *torch.randint(1, 5, (length - 1,), generator=generator).tolist())
        items.append(Encoded((1,), ids, tuple(marks)))
    batch = collate(items, pad_id=0)
    logits = torch.randn(*batch.response_ids.shape, 5, generator=generator)
    slow = []
    for row, item in enumerate(items):
        log_probs = logits[row].double().log_softmax(-1)
        start = 1
        for mark in item.marks:
            chosen = [log_probs[t - 1, item.response_ids[t]].item() for t in range(start, mark + 1)]
            gaps = [chosen[t - start] - log_probs[t - 1].max().item() for t in range(start, mark + 1)]
            slow.append([sum(chosen) / len(chosen), min(chosen), sum(gaps) / len(gaps), min(gaps)])
            start = mark + 1
    fast = segment_likelihoods(*token_likelihoods(logits[:, :-1], batch.response_ids[:, 1:]), batch)
    torch.testing.assert_close(fast, torch.tensor(slow).reshape(-1, 4), rtol=1e-4, atol=1e-5)


def test_calibration_standardises_the_likelihoods(tmp_path):
    reader = Reader.from_checkpoint(checkpoint(tmp_path, "t5"), tokenizer(), "holistic", seed=0)
    batch = collate(reader.encode(["who ?"] * 3, [["the cat"], ["the dog is red"], ["a"]]), pad_id=0)
    reader.network.calibrate(batch)
    features = (reader.network._read(batch)[1] - reader.network.likelihood_mean) / reader.network.likelihood_std
    torch.testing.assert_close(features.mean(0), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(4), rtol=1e-4, atol=1e-4)
    reader.network.calibrate(collate(reader.encode(["who ?"], [["a"]]), pad_id=0))
    assert torch.isfinite(reader.network.likelihood_std).all()


PASSES = [("holistic", True), ("holistic", False), ("factuality", True), ("factuality", False)]


@pytest.mark.parametrize(("kind", "likelihoods"), PASSES)
def test_the_faster_pass_is_that_of_transformers(tmp_path, kind, likelihoods):
    """Logits, states and gradients; prompts that repeat and rows of different lengths among them."""
    folder = checkpoint(tmp_path, "t5", seed=2)
    found = []
    for faster in (True, False):
        reader = Reader.from_checkpoint(folder, tokenizer(), kind, seed=1, max_tokens=100, likelihoods=likelihoods)
        network = reader.network.double().eval()
        assert network._fused is not None
        if not faster:
            network._fused = None
        prompts = [PROMPT, PROMPT, "who ?", "what color is it ?"]
        pieces = [units(reader, text) for text in (RESPONSE, "the dog is blue .", "it is very old . a cat .", "red .")]
        batch = collate(reader.encode(prompts, pieces), pad_id=0)
        assert len(batch.prompt_ids) == 3 and not batch.response_mask.all()
        logits, states = network(batch)
        assert (network._read(batch)[1] is not None) == likelihoods
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(part.shape, generator=generator) for part in (logits, states)]
        ((logits * weights[0]).sum() + (states * weights[1]).sum()).backward()
        found.append((logits, states, {name: p.grad for name, p in network.named_parameters()}))
    (logits, states, gradients), (plain_logits, plain_states, plain_gradients) = found
    # transformers' T5 takes norms and softmax in float32 always.
    torch.testing.assert_close(logits, plain_logits, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(states, plain_states, rtol=2e-5, atol=2e-5)
    assert gradients.keys() == plain_gradients.keys()
    for name, gradient in gradients.items():
        pair = [torch.zeros(1).double() if g is None else g for g in (gradient, plain_gradients[name])]
        torch.testing.assert_close(*torch.broadcast_tensors(*pair), rtol=2e-5, atol=2e-5, msg=name)
    assert gradients["head.weight"].abs().sum() > 0


def test_without_likelihoods_the_head_reads_the_state_alone(tmp_path):
    folder = checkpoint(tmp_path, "t5")
    with_them, without = (
        Reader.from_checkpoint(folder, tokenizer(), "factuality", seed=1, likelihoods=chosen).network
        for chosen in (True, False)
    )
    assert (with_them.head.in_features, without.head.in_features) == (32 + 4, 32)
    batch = collate(
        Reader.from_checkpoint(folder, tokenizer(), "factuality", seed=1).encode(["who ?"], [["the cat ."]]), pad_id=0
    )
    logits, states = without.eval()(batch)
    torch.testing.assert_close(logits, states @ without.head.weight.T + without.head.bias)


@pytest.mark.parametrize("likelihoods", [True, False])
def test_a_saved_network_keeps_whether_it_reads_likelihoods(tmp_path, likelihoods):
    reader = Reader.from_checkpoint(
        checkpoint(tmp_path / "start", "t5"), tokenizer(), "holistic", seed=1, likelihoods=likelihoods
    )
    reader.save(tmp_path / "saved")
    loaded = Reader.load(tmp_path / "saved")
    assert loaded.network.config.reads_likelihoods is likelihoods
    arguments = [PROMPT, "who ?"], [units(reader, RESPONSE), ["the dog is blue ."]]
    reader.network.eval()
    torch.testing.assert_close(reader.logits(*arguments), loaded.logits(*arguments), rtol=1e-6, atol=1e-6)


def test_a_network_of_before_that_choice_reads_likelihoods(tmp_path):
    reader = Reader.from_checkpoint(checkpoint(tmp_path / "start", "t5"), tokenizer(), "holistic", seed=1)
    reader.save(tmp_path / "saved")
    file = tmp_path / "saved" / "config.json"
    config = json.loads(file.read_text())
    assert config.pop("reads_likelihoods") is True
    file.write_text(json.dumps(config))
    loaded = Reader.load(tmp_path / "saved")
    assert loaded.network.config.reads_likelihoods
    arguments = [PROMPT], [units(reader, RESPONSE)]
    reader.network.eval()
    torch.testing.assert_close(reader.logits(*arguments), loaded.logits(*arguments), rtol=1e-6, atol=1e-6)


def test_collate_by_hand():
    items = [Encoded((5, 6), (0, 7, 1), (2,)), Encoded((5, 6), (0, 1), (1,)), Encoded((9,), (0, 8, 1, 8, 1), (2, 4))]
    batch = collate(items, pad_id=3)
    assert batch.prompt_ids.tolist() == [[5, 6], [9, 3]]
    assert batch.prompt_mask.tolist() == [[True, True], [True, False]]
    assert batch.prompt_of.tolist() == [0, 0, 1]
    assert batch.response_ids.tolist() == [[0, 7, 1, 3, 3], [0, 1, 3, 3, 3], [0, 8, 1, 8, 1]]
    assert batch.response_mask.sum(1).tolist() == [3, 2, 5]
    assert (batch.mark_rows.tolist(), batch.mark_columns.tolist()) == ([0, 1, 2, 2], [2, 1, 2, 4])
