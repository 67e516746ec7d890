"""Supervised fine-tuning and the tokenizer of policies from scratch."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import AutoTokenizer

from alarm.ppo.batch import TokenBatch
from alarm.ppo.networks import build_model
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.ppo.sft import _batches, encode_responses, train_sft
from alarm.ppo.sft_checkpoint import STATE, read_state, write_state
from alarm.ppo.tokenizer import train_tokenizer
from alarm.settings import PolicySettings, SFTSettings

PROMPTS = [f"{animal} {color}" for animal in ("cat", "dog", "bird", "fish") for color in ("red", "blue", "green")]
RESPONSES = [" ".join(["a", *reversed(prompt.split())]) + " ." for prompt in PROMPTS]
SETTINGS = SFTSettings(steps=150, batch_size=12, learning_rate=5e-3)
TINY = PolicySettings(hidden_size=32, feedforward_size=64, layers=1, heads=2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_tokenizer(PROMPTS + RESPONSES, vocabulary_size=64, directory=tmp_path_factory.mktemp("tokenizer"))


def fresh(tokenizer, architecture: str = "seq2seq") -> Policy:
    model = build_model(replace(TINY, architecture=architecture), tokenizer, max_tokens=32, seed=0)
    return Policy(model, tokenizer, seed=0)


def tune(policy: Policy, settings: SFTSettings, **options) -> list[float]:
    return train_sft(policy, PROMPTS, RESPONSES, settings, max_prompt_tokens=16, max_new_tokens=16, **options)


def weights(policy: Policy) -> torch.Tensor:
    return nn.utils.parameters_to_vector(policy.model.parameters())


@pytest.mark.parametrize("architecture", ["seq2seq", "causal"])
def test_a_tiny_policy_learns_its_responses(tokenizer, architecture):
    policy, steps = fresh(tokenizer, architecture), []
    losses = tune(policy, SETTINGS, on_step=lambda *step: steps.append(step))
    assert steps == [(i + 1, 150, loss) for i, loss in enumerate(losses)]
    # Untrained weights are about as good as a uniform guess.
    assert 0.5 * math.log(len(tokenizer)) < losses[0] < 2 * math.log(len(tokenizer))
    assert losses[-1] < 0.1
    drawn = rollout(policy, PROMPTS, max_prompt_tokens=16, max_new_tokens=16, generator=None)
    assert sum(a == b for a, b in zip(drawn.responses, RESPONSES, strict=True)) >= 10
    assert not policy.training


@pytest.mark.parametrize("architecture", ["seq2seq", "causal"])
def test_the_first_loss_is_the_mean_over_response_tokens_alone(tokenizer, architecture):
    policy = fresh(tokenizer, architecture)
    total = count = 0.0
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        source = tokenizer(prompt).input_ids
        target = [*tokenizer(response, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        if policy.is_encoder_decoder:
            logits = policy.model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).logits[0]
        else:
            logits = policy.model(input_ids=torch.tensor([source + target])).logits[0, len(source) - 1 : -1]
        total += nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum").item()
        count += len(target)
    assert tune(policy, replace(SETTINGS, steps=1)) == [pytest.approx(total / count, rel=1e-4)]


def test_a_seed_decides_everything_and_torch_is_left_alone(tokenizer):
    settings = replace(SETTINGS, steps=4, batch_size=5, dropout=0.3)
    results = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 7)):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        policy = fresh(tokenizer)
        losses = tune(policy, replace(settings, seed=seed))
        assert torch.equal(torch.get_rng_state(), state)
        results.append((losses, weights(policy)))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][0] != results[2][0]


@pytest.mark.parametrize("architecture", ["seq2seq", "causal"])
def test_a_batch_is_divided_by_the_tokens_of_an_average_batch(tokenizer, architecture, monkeypatch):
    """Its own tokens would make every response of a batch of short ones count more than one of a batch of long ones."""
    monkeypatch.setattr("alarm.ppo.sft.MAX_GRAD_NORM", math.inf)
    responses = [" ".join([response] * (1 + i % 3)) for i, response in enumerate(RESPONSES)]
    ends = tokenizer.eos_token_id
    sources = [tokenizer(prompt).input_ids for prompt in PROMPTS]
    targets = [[*tokenizer(response, add_special_tokens=False).input_ids, ends] for response in responses]
    mean_tokens = sum(map(len, targets)) / len(targets)
    settings, found = replace(SETTINGS, steps=1, batch_size=4, seed=3), fresh(tokenizer, architecture)
    losses = train_sft(found, PROMPTS, responses, settings, max_prompt_tokens=16, max_new_tokens=32)
    mask = torch.arange(32) < torch.tensor([len(target) for target in targets]).unsqueeze(1)
    prompt_mask = torch.arange(16) < torch.tensor([len(source) for source in sources]).unsqueeze(1)
    data = TokenBatch(prompt_mask.long(), prompt_mask, mask.long(), mask)
    (rows,) = _batches(data, settings, torch.Generator().manual_seed(3))
    tokens = sum(len(targets[row]) for row in rows)
    assert tokens != pytest.approx(4 * mean_tokens, rel=0.05), "the batch must differ from an average one"

    expected, total = fresh(tokenizer, architecture), 0.0
    for row in rows.tolist():
        source, target = sources[row], targets[row]
        if expected.is_encoder_decoder:
            logits = expected.model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).logits[0]
        else:
            logits = expected.model(input_ids=torch.tensor([source + target])).logits[0, len(source) - 1 : -1]
        total = total + nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum")
    (total / (4 * mean_tokens)).backward()
    wanted = dict(expected.model.named_parameters())
    for name, parameter in found.model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, rtol=1e-4, atol=1e-6, msg=name)
    assert losses == [pytest.approx(total.item() / tokens, rel=1e-5)], "what is told is nats per token of the batch"


@pytest.mark.parametrize("parts", [2, 5])
def test_a_batch_in_parts_gives_the_same_step(tokenizer, parts):
    """Parts differ in tokens: the mean of their means would be another gradient."""
    # Adam divides by the gradient's size: of the smallest, even rounding errors would show at a higher rate.
    settings = replace(SETTINGS, steps=1, warmup_share=0.0, learning_rate=1e-4)
    whole, cut = fresh(tokenizer), fresh(tokenizer)
    responses = [" ".join([response] * (1 + 2 * (i % 3 == 0))) for i, response in enumerate(RESPONSES)]
    losses, gradients = [], []
    for policy, steps in ((whole, 1), (cut, parts)):
        chosen = replace(settings, accumulation_steps=steps)
        losses += train_sft(policy, PROMPTS, responses, chosen, max_prompt_tokens=16, max_new_tokens=32)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in policy.model.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(weights(cut), weights(whole), rtol=0, atol=1e-6)


def test_dropout_acts_in_training_only(tokenizer):
    dry, wet = fresh(tokenizer), fresh(tokenizer)
    settings = replace(SETTINGS, steps=1)
    assert tune(dry, settings) != tune(wet, replace(settings, dropout=0.5))
    rates = {module.p for module in wet.model.modules() if isinstance(module, nn.Dropout)}
    assert rates == {0.0}


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**31))
def test_batches_are_full_and_pass_over_the_data_evenly(examples, size, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(9) < torch.randint(1, 10, (examples, 1), generator=generator)
    data = TokenBatch(mask.long(), mask, mask.long(), mask)
    settings = SFTSettings(steps=steps, batch_size=size)
    batches = list(_batches(data, settings, torch.Generator().manual_seed(seed)))
    assert len(batches) == steps
    size = min(size, examples)
    assert all(len(rows) == size == len(set(rows.tolist())) for rows in batches)
    each_pass = examples // size
    for first in range(0, steps, each_pass):
        rows = torch.cat(batches[first : first + each_pass]).tolist()
        assert len(rows) == len(set(rows))


def test_batches_hold_examples_of_similar_length():
    mask = torch.arange(40) < torch.arange(1, 41).repeat(10).unsqueeze(1)
    data = TokenBatch(mask.long(), mask, mask.long(), mask)
    lengths = mask.sum(1)
    batches = list(_batches(data, SFTSettings(steps=40, batch_size=10), torch.Generator().manual_seed(0)))
    spread = sum(int(lengths[rows].max() - lengths[rows].min()) for rows in batches) / len(batches)
    assert spread < 5
    # Short and long batches alternate at random: a sorted order would have a trend in it.
    means = torch.stack([lengths[rows].float().mean() for rows in batches])
    assert (means.diff() < 0).sum() > 5


def test_responses_end_with_the_end_token_unless_cut(tokenizer):
    policy = fresh(tokenizer)
    ids, mask, cut = encode_responses(policy, ["a red cat .", "", "a"], max_tokens=3)
    end = tokenizer.eos_token_id
    full = tokenizer("a red cat .", add_special_tokens=False).input_ids
    assert [row[m].tolist() for row, m in zip(ids, mask, strict=True)] == [
        full[:3],
        [end],
        [*tokenizer("a", add_special_tokens=False).input_ids, end],
    ]
    assert cut == 1
    exact = encode_responses(policy, ["a red cat ."], max_tokens=len(full) + 1)
    assert exact[2] == 0
    assert encode_responses(policy, ["a red cat ."], max_tokens=len(full))[2] == 1
    assert exact[0][0, -1] == end


RESUMED = replace(SETTINGS, steps=9, batch_size=5, dropout=0.3)


def interrupted(tokenizer, folder, settings=RESUMED, *, at=5):
    """A training that keeps its state every third step and ends at another."""

    def interrupt(step, steps, loss):
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(fresh(tokenizer), settings, checkpoint=folder, checkpoint_every=3, on_step=interrupt)
    assert (folder / STATE).is_file()


@pytest.mark.parametrize(("at", "first"), [(5, 4), (8, 7)])
def test_an_interrupted_training_ends_with_the_same_weights(tokenizer, tmp_path, at, first):
    """Dropout, the schedule and passes over the data all go on where they were."""
    whole, resumed, steps = fresh(tokenizer), fresh(tokenizer), []
    losses = tune(whole, RESUMED)
    interrupted(tokenizer, tmp_path, at=at)
    torch.manual_seed(99)  # whatever the new process begins with
    before = torch.get_rng_state()
    again = tune(resumed, RESUMED, checkpoint=tmp_path, checkpoint_every=3, on_step=lambda *step: steps.append(step[0]))
    assert steps == list(range(first, 10))
    assert again == losses
    assert torch.equal(weights(resumed), weights(whole))
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_kept_without_a_folder_or_an_interval(tokenizer, tmp_path):
    tune(fresh(tokenizer), replace(RESUMED, steps=4), checkpoint=tmp_path)
    tune(fresh(tokenizer), replace(RESUMED, steps=4), checkpoint=tmp_path, checkpoint_every=4)
    assert not list(tmp_path.iterdir()), "the last step needs no state: its weights are the result"


def damaged_in_the_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def without(part):
    def damage(path):
        state = read_state(path)
        del state[part]
        write_state(path, state)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b""),
        damaged_in_the_middle,
        without("optimizer"),
        without("losses"),
    ],
    ids=["cut off", "empty", "one byte", "no optimizer", "no losses"],
)
def test_a_damaged_state_is_not_used(tokenizer, tmp_path, damage):
    interrupted(tokenizer, tmp_path)
    damage(tmp_path / STATE)
    expected, found, steps = fresh(tokenizer), fresh(tokenizer), []
    losses = tune(expected, RESUMED)
    with pytest.warns(UserWarning, match=r"sft\.pt is not used .*starts from the beginning"):
        assert tune(found, RESUMED, checkpoint=tmp_path, on_step=lambda *step: steps.append(step[0])) == losses
    assert steps[0] == 1
    assert torch.equal(weights(found), weights(expected)), "nothing of it is left in the weights"


def other_settings(tokenizer, folder):
    interrupted(tokenizer, folder, replace(RESUMED, learning_rate=1e-3))


def other_data(tokenizer, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "RESPONSES", RESPONSES[::-1])
        interrupted(tokenizer, folder)


def other_network(tokenizer, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "TINY", replace(TINY, feedforward_size=80))
        interrupted(tokenizer, folder)


def other_start(tokenizer, folder):
    with pytest.MonkeyPatch.context() as patch:
        model = build_model(TINY, tokenizer, max_tokens=32, seed=1)
        patch.setitem(globals(), "fresh", lambda tokenizer: Policy(model, tokenizer, seed=0))
        interrupted(tokenizer, folder)


@pytest.mark.parametrize("make", [other_settings, other_data, other_network, other_start])
def test_the_state_of_another_training_is_not_used(tokenizer, tmp_path, make):
    make(tokenizer, tmp_path)
    expected, found = fresh(tokenizer), fresh(tokenizer)
    losses = tune(expected, RESUMED)
    with pytest.warns(UserWarning, match=r"is not used \(it belongs to .*starts from the beginning"):
        assert tune(found, RESUMED, checkpoint=tmp_path) == losses
    assert torch.equal(weights(found), weights(expected))


def test_cut_examples_are_reported(tokenizer):
    with pytest.warns(UserWarning, match="cuts 12 of 12 prompts to 2 tokens and 12 responses to 3"):
        train_sft(
            fresh(tokenizer), PROMPTS, RESPONSES, replace(SETTINGS, steps=1), max_prompt_tokens=2, max_new_tokens=3
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tune(fresh(tokenizer), replace(SETTINGS, steps=1))


def test_what_cannot_be_learned_from_is_refused(tokenizer):
    policy = fresh(tokenizer)
    for prompts, responses in (([], []), (PROMPTS, RESPONSES[:1])):
        with pytest.raises(ValueError, match="needs prompts with responses"):
            train_sft(policy, prompts, responses, SETTINGS, max_prompt_tokens=8, max_new_tokens=8)
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.fill_(math.nan)
    with pytest.raises(ValueError, match="loss is nan at step 1; lower the learning rate"):
        tune(policy, SETTINGS)


# --- the tokenizer -------------------------------------------------------------------------------------------------


def test_special_tokens_and_endings(tokenizer):
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert len(tokenizer) <= 64
    assert tokenizer("red cat").input_ids[-1] == 1
    assert 1 not in tokenizer("red cat", add_special_tokens=False).input_ids
    unknown = tokenizer("red ß", add_special_tokens=False).input_ids
    assert 2 in unknown
    assert tokenizer.decode(unknown, skip_special_tokens=True).strip() == "red"


@given(words=st.lists(st.text("abcdeghilnorstu.", min_size=1, max_size=8), max_size=8))
def test_text_survives_encoding(tokenizer, words):
    text = " ".join(words)
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_training_is_repeatable_and_what_was_saved_is_what_is_used(tokenizer, tmp_path):
    again = train_tokenizer(iter(PROMPTS + RESPONSES), vocabulary_size=64, directory=tmp_path)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert (
        json.loads(saved.backend_tokenizer.to_str())["model"] == json.loads(again.backend_tokenizer.to_str())["model"]
    )
    text = "a blue bird . red"
    assert saved(text).input_ids == again(text).input_ids
    assert saved.decode(saved(text).input_ids, skip_special_tokens=True) == text


def test_frequent_words_become_one_piece(tokenizer):
    assert [len(tokenizer(word, add_special_tokens=False).input_ids) for word in ("cat", "green")] == [1, 1]


def test_a_vocabulary_below_the_alphabet_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a vocabulary of 5 pieces cannot hold the 5 characters"):
        train_tokenizer(["abc d"], vocabulary_size=5, directory=tmp_path)
