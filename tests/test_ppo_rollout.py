"""Sampling on tiny T5 and GPT-2 networks: parity with `generate`, the right distribution, ends, cut prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alarm.ppo import rollout as rollout_module
from alarm.ppo.batch import TokenBatch
from alarm.ppo.policy import Policy
from alarm.ppo.prompts import encode_prompts
from alarm.ppo.rollout import Rollout, _choose, rollout
from alarm.ppo.tokenizer import train_tokenizer
from alarm.settings import PolicySettings
from tests import tiny_models

PROMPTS = ["the cat is red", "who is a big dog ? the bird", "fish", "what color , who", "good old dog", "very"]
ARCHITECTURES = ("t5", "gpt2")
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@pytest.fixture(scope="module")
def policies(tmp_path_factory) -> dict[str, Policy]:
    folder: Path = tmp_path_factory.mktemp("checkpoints")
    found = {}
    for name in ARCHITECTURES:
        path = tiny_models.checkpoint(folder / name, name)
        tiny_models.tokenizer().save_pretrained(path)
        found[name] = Policy.load(path, PolicySettings(), seed=0)
        with torch.no_grad():
            # A fresh GPT-2 is nearly uniform, so that rounding would decide what is likeliest.
            found[name].model.get_input_embeddings().weight.mul_(8 if name == "gpt2" else 1)
    return found


def draw(policy: Policy, prompts: list[str] = PROMPTS, *, seed: int | None = 0, new: int = 10, longest: int = 16):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return rollout(policy, prompts, max_prompt_tokens=longest, max_new_tokens=new, generator=generator)


def responses_of(drawn: Rollout) -> list[list[int]]:
    return [ids[mask].tolist() for ids, mask in zip(drawn.batch.response_ids, drawn.batch.response_mask, strict=True)]


@every_architecture
def test_greedy_responses_are_those_of_generate(policies, architecture):
    policy = policies[architecture]
    expected = []
    for prompt in PROMPTS:
        ids = policy.tokenizer(prompt, return_tensors="pt").input_ids
        found = policy.model.generate(
            input_ids=ids, max_new_tokens=10, do_sample=False, eos_token_id=1, pad_token_id=0, suppress_tokens=[0, 2]
        )[0]
        expected.append(found[1 if policy.is_encoder_decoder else ids.shape[1] :].tolist())
    assert responses_of(draw(policy, seed=None)) == expected


@every_architecture
@torch.no_grad()
def test_cached_steps_agree_with_one_pass_over_the_whole_response(policies, architecture, monkeypatch):
    """The distribution each token was drawn from, as sampled, gives it the log-probability that PPO computes later."""
    policy, steps = policies[architecture], []

    def recording(logits, uniform):
        steps.append(logits.log_softmax(-1))
        return _choose(logits, uniform)

    monkeypatch.setattr(rollout_module, "_choose", recording)
    batch = draw(policy).batch
    drawn_from = torch.stack(steps, 1).gather(2, batch.response_ids.unsqueeze(2)).squeeze(2)
    expected = torch.where(batch.response_mask, drawn_from, 0.0)
    torch.testing.assert_close(policy(batch).log_probs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lora_rank", [0, 4])
@every_architecture
def test_kept_predictions_are_those_of_a_pass_over_the_responses(policies, architecture, lora_rank, tmp_path):
    path = tiny_models.checkpoint(tmp_path, architecture)
    tiny_models.tokenizer().save_pretrained(path)
    policy = Policy.load(path, PolicySettings(lora_rank=lora_rank), seed=0)
    arguments = {"max_prompt_tokens": 16, "max_new_tokens": 10}
    drawn = rollout(policy, PROMPTS * 3, **arguments, generator=torch.Generator().manual_seed(3), keep_predictions=True)
    assert drawn.lengths.unique().numel() > 3, "no row was left out of the batch on the way"
    without = rollout(policy, PROMPTS * 3, **arguments, generator=torch.Generator().manual_seed(3))
    assert without.predictions is None
    assert responses_of(drawn) == responses_of(without)
    with torch.no_grad():
        expected = policy.eval()(drawn.batch)
    for found, part in zip(drawn.predictions, expected, strict=True):
        torch.testing.assert_close(found, part, rtol=1e-4, atol=1e-5)


def test_predictions_in_half_precision_are_not_kept(tmp_path):
    path = tiny_models.checkpoint(tmp_path, "t5")
    tiny_models.tokenizer().save_pretrained(path)
    policy = Policy.load(path, PolicySettings(dtype="bfloat16", lora_rank=4), seed=0)
    arguments = {"max_prompt_tokens": 16, "max_new_tokens": 4, "generator": torch.Generator().manual_seed(0)}
    assert rollout(policy, PROMPTS, **arguments, keep_predictions=True).predictions is None


@every_architecture
def test_neighbours_change_no_greedy_response(policies, architecture):
    together = responses_of(draw(policies[architecture], seed=None))
    assert together == [responses_of(draw(policies[architecture], [prompt], seed=None))[0] for prompt in PROMPTS]


@every_architecture
def test_rows_end_at_their_end_token_or_at_the_limit(policies, architecture):
    ended = 0
    for seed in range(8):
        drawn = draw(policies[architecture], seed=seed)
        batch = drawn.batch
        assert batch.response_mask.sum(1).tolist() == drawn.lengths.tolist()
        assert batch.response_mask.any(0).all()  # no column of mere padding
        assert not batch.response_ids[~batch.response_mask].any()
        for response, length in zip(responses_of(drawn), drawn.lengths.tolist(), strict=True):
            assert 1 <= length <= 10
            assert 1 not in response[:-1]
            assert response[-1] == 1 or length == 10
            assert not {0, 2} & set(response)
            ended += response[-1] == 1
    assert ended > 0
    alone = [draw(policies[architecture], ["fish"], seed=seed).batch.response_mask for seed in range(20)]
    assert min(mask.shape[1] for mask in alone) < 10
    assert all(mask.all() for mask in alone)
    single = draw(policies[architecture], new=1)
    assert single.batch.response_ids.shape == (len(PROMPTS), 1)


@every_architecture
def test_a_seed_decides_the_responses_and_leaves_torch_alone(policies, architecture):
    state = torch.get_rng_state()
    first, same, other = (responses_of(draw(policies[architecture], seed=seed)) for seed in (0, 0, 1))
    assert first == same
    assert first != other
    assert torch.equal(torch.get_rng_state(), state)


def test_texts_and_offsets_belong_to_the_tokens(policies):
    drawn = draw(policies["t5"])
    for response, text, offsets in zip(responses_of(drawn), drawn.responses, drawn.offsets, strict=True):
        assert text == policies["t5"].tokenizer.decode(response, skip_special_tokens=True)
        words = [text[start:end] for start, end in offsets if end > start]
        assert words == [policies["t5"].tokenizer.convert_ids_to_tokens(i) for i in response if i != 1]


def test_dropout_is_off_while_sampling_and_the_mode_is_kept(tmp_path):
    path = tiny_models.checkpoint(tmp_path, "t5")
    tiny_models.tokenizer().save_pretrained(path)
    policy = Policy.load(path, PolicySettings(lora_rank=4, lora_dropout=0.5), seed=0)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    found = []
    for training in (True, False):
        policy.train(training)
        found.append(responses_of(draw(policy)))
        assert policy.training is training
    assert found[0] == found[1]


@given(st.integers(0, 2**31), st.integers(2, 30))
def test_ids_without_probability_are_never_chosen(seed, size):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(50, size, generator=generator) * 5
    impossible = torch.rand(50, size, generator=generator) < 0.5
    impossible[:, 0] &= impossible[:, 1:].any(1) & ~impossible[:, 1:].all(1)
    chosen = _choose(logits.masked_fill(impossible, -1e9), torch.rand(50, 1, generator=generator, dtype=torch.float64))
    assert not impossible.gather(1, chosen.unsqueeze(1)).any()


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2**-53, 1.0])
def test_extreme_random_numbers_choose_the_first_and_the_last_possible_id(uniform):
    logits = torch.full((1, 6), -1e9)
    logits[0, 1:4] = torch.tensor([0.3, -2.0, 0.1])
    assert _choose(logits, torch.full((1, 1), uniform, dtype=torch.float64)).item() == (1 if uniform == 0.0 else 3)


def test_choices_have_the_softmax_as_their_frequencies():
    logits = torch.tensor([0.0, 2.0, -1e9, -1.0, 1.0])
    count = 40_000
    uniform = torch.rand(count, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chosen = _choose(logits.expand(count, -1), uniform)
    shares = torch.bincount(chosen, minlength=5) / count
    expected = logits.softmax(-1)
    assert ((shares - expected).abs() <= 4 * (expected * (1 - expected) / count).sqrt()).all()
    assert _choose(logits.unsqueeze(0), None).item() == 1


@pytest.fixture(scope="module")
def closing(tmp_path_factory, policies) -> Policy:
    """A policy whose tokenizer closes prompts with the end token, as T5's does; only its encoding is used."""
    path = tmp_path_factory.mktemp("tokenizer")
    texts = ["ab cd ef gh"] * 3
    policy = Policy(policies["t5"].model, train_tokenizer(texts, vocabulary_size=40, directory=path), seed=0)
    assert policy.tokenizer("ab cd").input_ids[-1] == policy.tokenizer.eos_token_id
    return policy


def test_cut_prompts_are_counted_and_keep_their_end_token(policies, closing):
    ids, mask, truncated = encode_prompts(policies["gpt2"], PROMPTS, max_tokens=4)
    full = policies["gpt2"].tokenizer(PROMPTS).input_ids
    assert truncated == sum(len(row) > 4 for row in full) > 0
    assert [row[m].tolist() for row, m in zip(ids, mask, strict=True)] == [row[:4] for row in full]
    whole = closing.tokenizer("ab cd ef gh").input_ids
    cut, mask, truncated = encode_prompts(closing, ["ab cd ef gh", "ab"], max_tokens=len(whole) - 1)
    assert truncated == 1
    assert cut[0].tolist() == [*whole[:-2], closing.tokenizer.eos_token_id]
    assert encode_prompts(closing, ["ab cd ef gh"], max_tokens=len(whole))[2] == 0
    assert draw(policies["t5"], longest=4).truncated_prompts == 1


@every_architecture
def test_an_empty_prompt_gets_a_response_and_no_prompts_an_error(policies, architecture):
    drawn = draw(policies[architecture], ["", "the cat"])
    assert drawn.batch.prompt_mask.sum(1).tolist() == [1, 2]
    assert len(drawn.responses) == 2
    with pytest.raises(ValueError, match="there are no prompts"):
        draw(policies[architecture], [])


def test_an_untrained_adapter_changes_no_response(tmp_path):
    path = tiny_models.checkpoint(tmp_path, "t5")
    tiny_models.tokenizer().save_pretrained(path)
    plain, adapted = (Policy.load(path, PolicySettings(lora_rank=rank), seed=0) for rank in (0, 4))
    assert responses_of(draw(plain)) == responses_of(draw(adapted))
    assert isinstance(draw(adapted).batch, TokenBatch)
