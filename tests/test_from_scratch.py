"""Reward models from scratch: the tokenizer knows its texts only, seeds decide the weights, and training works."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from alarm.reward_modeling.comparisons import Comparison
from alarm.reward_modeling.from_scratch import ScratchModel, scratch_readers, train_pair_tokenizer
from alarm.reward_modeling.preferences import accuracy, fit_preferences
from alarm.scorers.reader import Reader
from alarm.settings import RewardModelSettings

MODEL = ScratchModel(vocabulary_size=120, hidden_size=16, feedforward_size=32, layers=1, heads=2, max_tokens=64)
NOUNS = ("hat", "dog", "cup", "car", "box", "pen", "map", "fan")
PAIRS = [
    Comparison(f"Give me a {noun}.", f"Here is a {noun}{mark}", f"I refuse, no {noun}{mark}")
    for noun in NOUNS
    for mark in ".!"
]


def weights(reader: Reader) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in reader.network.state_dict().values()])


def test_texts_come_back_from_their_tokens_in_lower_case() -> None:
    tokenizer = train_pair_tokenizer(PAIRS, vocabulary_size=120)
    ids = tokenizer("Here is a HAT!").input_ids
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["<s>", "</s>"]
    assert "".join(tokenizer.convert_ids_to_tokens(ids[1:-1])) == "hereisahat!"
    assert tokenizer.unk_token_id in tokenizer("Ω").input_ids
    assert len(tokenizer) <= 120


def test_tokenizers_do_not_depend_on_the_order_of_pairs_or_their_number() -> None:
    vocabulary = train_pair_tokenizer(PAIRS, vocabulary_size=120).get_vocab()
    assert train_pair_tokenizer([*PAIRS[::-1], *PAIRS[:5] * 9], vocabulary_size=120).get_vocab() == vocabulary


def test_seeds_decide_all_weights_and_leave_the_random_state() -> None:
    make_reader = scratch_readers(PAIRS, MODEL)
    state = torch.get_rng_state()
    first, again, other = make_reader(1), make_reader(1), make_reader(2)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_a_reader_from_scratch_learns_and_comes_back_from_disk(tmp_path: Path) -> None:
    reader = scratch_readers(PAIRS, MODEL)(1)
    settings = RewardModelSettings(steps=60, batch_size=8, learning_rate=5e-3, seed=1)
    losses = fit_preferences(reader, PAIRS, settings=settings)
    assert losses[-1] < 0.2 < losses[0]
    unseen = [Comparison("Give me a hat.", f"Here is a {noun}.", f"I refuse, no {noun}.") for noun in NOUNS[1:]]
    assert accuracy(reader, unseen) == 1.0
    reader.save(tmp_path / "model")
    texts = ([PAIRS[0].prompt, "Give me a hat. " * 9], [[PAIRS[0].chosen], [PAIRS[1].rejected]])
    before, after = (torch.cat(r.logits(*texts)) for r in (reader, Reader.load(tmp_path / "model")))
    # Weights read from a file lie elsewhere in memory, which may turn the last bit.
    torch.testing.assert_close(before, after, rtol=1e-6, atol=1e-6)


def test_padding_changes_no_score() -> None:
    reader = scratch_readers(PAIRS, MODEL)(3)
    (alone,) = reader.logits(["Give me a hat."], [["Here is a hat."]])
    together = reader.logits(["Give me a hat."] * 2, [["Here is a hat."], ["Here is a hat." * 5]])[0]
    torch.testing.assert_close(alone, together)


def test_long_prompts_are_cut_and_counted() -> None:
    reader = scratch_readers(PAIRS, MODEL)(1)
    reader.logits(["Give me a hat. " * 50], [["Here is a hat."]])
    assert reader.truncated_prompts == 1


def test_what_cannot_be_tokenised_is_refused() -> None:
    with pytest.raises(ValueError, match="needs comparisons"):
        train_pair_tokenizer([], vocabulary_size=120)
    with pytest.raises(ValueError, match=r"cannot hold the \d+ characters"):
        train_pair_tokenizer(PAIRS, vocabulary_size=10)
