"""Prompts of chat models: the template is whole, the user's text is cut, and the policy answers after it."""

from __future__ import annotations

import pytest
import torch

from alarm.ppo.policy import Policy
from alarm.ppo.prompts import encode_prompts
from alarm.ppo.rollout import rollout
from alarm.settings import PolicySettings
from tests import tiny_models

TEMPLATE = (
    "{% for message in messages %}{{ 'question : ' + message.content + ' | ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'answer :' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    tokenizer = tiny_models.tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return tiny_models.checkpoint(folder, "gpt2")


@pytest.fixture
def policy(folder):
    return Policy.load(folder, PolicySettings())


def words(policy, row, mask):
    return policy.tokenizer.convert_ids_to_tokens(row[mask].tolist())


def test_a_chat_policy_reads_the_prompt_as_the_users_turn(policy):
    ids, mask, cut = encode_prompts(policy, ["the cat", "the big red dog"], max_tokens=20)
    assert words(policy, ids[0], mask[0]) == ["question", ":", "the", "cat", "|", "answer", ":"]
    assert words(policy, ids[1], mask[1]) == ["question", ":", "the", "big", "red", "dog", "|", "answer", ":"]
    assert cut == 0


def test_the_users_text_is_cut_and_the_template_is_not(policy):
    ids, mask, cut = encode_prompts(policy, ["the big red dog", "the cat"], max_tokens=7)
    assert words(policy, ids[0], mask[0]) == ["question", ":", "the", "big", "|", "answer", ":"]
    assert cut == 1 and mask.sum(1).tolist() == [7, 7]
    with pytest.raises(ValueError, match=r"chat template alone has 5 tokens and prompts may have 5"):
        encode_prompts(policy, ["the cat"], max_tokens=5)


def test_without_a_template_the_prompt_is_read_as_it_stands(folder, policy):
    policy.tokenizer.chat_template = None
    ids, mask, _ = encode_prompts(policy, ["the cat"], max_tokens=20)
    assert words(policy, ids[0], mask[0]) == ["the", "cat"]


def test_responses_follow_the_template(policy):
    generator = torch.Generator().manual_seed(0)
    drawn = rollout(policy, ["the cat"] * 3, max_prompt_tokens=20, max_new_tokens=6, generator=generator)
    assert drawn.batch.prompt_ids.shape[1] == 7 and len(drawn.responses) == 3
    out = policy(drawn.batch)
    assert torch.isfinite(out.log_probs).all() and (out.log_probs[drawn.batch.response_mask] < 0).all()
