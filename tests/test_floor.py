"""The floor of PPO's work: known values, an independent count, and our own run beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from benchmarks.peers.comparisons import workload_of
from benchmarks.throughput.floor import Shape, forward_flops, iteration_flops
from benchmarks.throughput.meter import count_cost
from benchmarks.throughput.subject import Subject
from benchmarks.throughput.workloads import W1, W2, W3, W3_T5
from tests.fake_peers import SMALL

RATE = 337e9
SEQ2SEQ = replace(SMALL, architecture="seq2seq")


@pytest.mark.parametrize(("workload", "seconds"), [(W1, 0.29), (W2, 0.17), (W3, 4.9), (W3_T5, 5.7)])
def test_floors_of_the_workloads(workload, seconds):
    shape = Shape.of(workload)
    assert iteration_flops(shape) / RATE == pytest.approx(seconds, rel=0.1)
    assert iteration_flops(shape) == 14 * forward_flops(shape), "4 epochs of 3 passes, sampling, the reference"


def unseen_pairs(tokens: int, shape: Shape) -> int:
    """What a library computes of causal attention and then masks."""
    return shape.batch * shape.layers * 4 * shape.hidden * (tokens * (tokens - 1) // 2)


def test_a_causal_forward_pass_is_what_torch_counts():
    config = GPT2Config(vocab_size=64, n_positions=32, n_embd=16, n_inner=32, n_layer=2, n_head=2)
    tokens = SMALL.prompt_tokens + SMALL.response_tokens - 1
    ids = torch.zeros(SMALL.batch, tokens, dtype=torch.long)
    network = GPT2LMHeadModel(config)
    counted = count_cost(lambda: network(ids, logits_to_keep=SMALL.response_tokens, use_cache=False)).flops
    assert counted == forward_flops(SMALL) + unseen_pairs(tokens, SMALL)


def test_an_encoder_decoder_forward_pass_is_what_torch_counts():
    config = T5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0, use_cache=False
    )
    network = T5ForConditionalGeneration(config)
    prompts = torch.ones(SEQ2SEQ.batch, SEQ2SEQ.prompt_tokens, dtype=torch.long)
    responses = torch.ones(SEQ2SEQ.batch, SEQ2SEQ.response_tokens, dtype=torch.long)
    counted = count_cost(lambda: network(input_ids=prompts, decoder_input_ids=responses)).flops
    assert counted == forward_flops(SEQ2SEQ) + unseen_pairs(SEQ2SEQ.response_tokens, SEQ2SEQ)


@pytest.mark.parametrize("shape", [SMALL, SEQ2SEQ], ids=["causal", "seq2seq"])
def test_our_own_iteration_is_near_the_floor(shape):
    """Lengths far below real ones, where masked pairs and single positions weigh most.

    A causal network may be below it: its last layer is not computed further for prompt tokens.
    """
    subject = Subject(workload_of(shape), "cpu", {})
    try:
        drawn, scores = subject.batch
        per_token = subject.compose(drawn, scores).per_token
        counted = subject.cost("rollout", subject.roll).flops
        counted += subject.cost("update", lambda: subject.update(drawn, per_token)).flops
    finally:
        subject.close()
    assert 0.9 <= counted / iteration_flops(shape) < 1.5


@pytest.mark.parametrize("workload", [W1, W2, W3, W3_T5], ids=lambda workload: workload.name)
def test_a_shape_says_everything_about_a_workload(workload):
    assert replace(workload_of(Shape.of(workload)), name=workload.name) == workload
