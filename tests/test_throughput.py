"""The pieces of the throughput benchmarks: texts, workloads, counted work, phases, and what machines are compared."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from alarm.scorers.longformer import LongformerFactuality
from alarm.text.splitting import sentence_spans
from benchmarks.throughput import machine
from benchmarks.throughput.machine import check_comparable, machine_facts, matrix_rates
from benchmarks.throughput.meter import Laps, count_cost
from benchmarks.throughput.networks import RandomUltraRM
from benchmarks.throughput.plugin import asked_for
from benchmarks.throughput.subject import Subject
from benchmarks.throughput.vocabulary import LAYOUTS, question_prompts, texts, word_tokenizer
from benchmarks.throughput.workloads import PAPER_QA, PAPER_WMT, W1, W2, W3, W3_T5
from tests.shrunk_throughput import shrunk


@pytest.mark.parametrize("kind", LAYOUTS)
def test_texts_and_ids_turn_into_each_other(kind):
    tokenizer = word_tokenizer(200, kind)
    assert len(tokenizer) == 200
    (text,) = texts(1, 60, vocabulary_size=200, seed=1)
    ids = tokenizer(text).input_ids
    assert len(ids) == 60 + (2 if kind == "longformer" else 1)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in ids
    assert 2 <= len(sentence_spans(text)) <= 20


def test_every_tokenizer_counts_as_many_tokens():
    """What one vocabulary lacks is one unknown token."""
    (text,) = texts(1, 60, vocabulary_size=5000, seed=1)
    counts = {size: len(word_tokenizer(size, "t5")(text).input_ids) for size in (50, 500, 5000)}
    assert set(counts.values()) == {61}


def test_question_prompts_have_as_many_words_and_the_form_that_scorers_read():
    plain = texts(3, 63, vocabulary_size=500, seed=0)
    prompts = question_prompts(plain, question_words=10)
    assert [len(prompt.split()) for prompt in prompts] == [63] * 3
    assert all(prompt.split()[11] == "context:" for prompt in prompts)


def test_a_vocabulary_without_room_for_numbers_is_refused():
    with pytest.raises(ValueError, match="holds no number beside 11 fixed ones"):
        word_tokenizer(11, "t5")


def test_paper_workloads_have_the_papers_shapes():
    qa, wmt = PAPER_QA.shapes(), PAPER_WMT.shapes()
    assert (qa["batch"], qa["prompt_tokens"], qa["response_tokens"], qa["epochs"]) == (8, 1024, 200, 4)
    assert (wmt["batch"], wmt["prompt_tokens"], wmt["response_tokens"], wmt["epochs"]) == (32, 128, 128, 4)
    assert qa["tuned"] == wmt["tuned"] == "LoRA of rank 16"
    assert (PAPER_QA.policy.dtype, qa["hidden"], wmt["vocabulary"]) == ("bfloat16", 1024, 250_112)
    assert PAPER_QA.scorers == ("holistic", "factuality", "relevance", "completeness")


def test_workloads_for_peers_are_those_of_the_comparison():
    sizes = {
        workload.name: (
            workload.policy.architecture,
            workload.policy.hidden_size,
            workload.policy.layers,
            workload.policy.vocabulary_size,
            workload.ppo.batch_size,
            workload.ppo.max_prompt_tokens,
            workload.ppo.max_new_tokens,
            workload.ppo.epochs,
        )
        for workload in (W1, W2, W3, W3_T5)
    }
    assert sizes == {
        "W1": ("causal", 128, 4, 512, 64, 32, 32, 4),
        "W2": ("seq2seq", 128, 2, 512, 64, 32, 32, 4),
        "W3": ("causal", 512, 6, 512, 32, 32, 64, 4),
        "W3-t5": ("seq2seq", 512, 6, 512, 32, 32, 64, 4),
    }


def test_products_and_attention_are_counted_forward_and_backward():
    left, right = torch.randn(3, 5, requires_grad=True), torch.randn(5, 7, requires_grad=True)
    assert count_cost(lambda: left @ right).flops == 2 * 3 * 5 * 7
    assert count_cost(lambda: (left @ right).sum().backward()).flops == 3 * 2 * 3 * 5 * 7
    q, k, v = (torch.randn(2, 4, n, 8, requires_grad=True) for n in (6, 9, 9))
    products = 2 * 2 * 4 * 6 * 9 * 8
    assert count_cost(lambda: scaled_dot_product_attention(q, k, v)).flops == 2 * products
    assert count_cost(lambda: scaled_dot_product_attention(q, k, v).sum().backward()).flops == (2 + 5) * products


def test_cost_tells_the_bytes_that_were_alive():
    cost = count_cost(lambda: [torch.ones(1000) for _ in range(3)])
    assert cost.tensor_bytes == 3 * 4 * 1000


@pytest.fixture(scope="module", params=[PAPER_QA, PAPER_WMT], ids=lambda workload: workload.name)
def subject(request):
    """A workload of scale `paper`, cut down."""
    made = Subject(shrunk(request.param), "cpu", {})
    yield made
    made.close()


def test_responses_and_prompts_are_as_long_as_stated(subject):
    drawn, again = subject.roll(), subject.roll()
    ppo = subject.workload.ppo
    assert drawn.batch.response_mask.shape == (ppo.batch_size, ppo.max_new_tokens)
    assert drawn.batch.response_mask.all()
    assert set(drawn.batch.prompt_mask.sum(1).tolist()) == {ppo.max_prompt_tokens}
    assert drawn.truncated_prompts == 0
    policy = subject.trainer.policy
    assert policy.logit_bias.softmax(-1)[policy.tokenizer.eos_token_id] == 0, "a response could end"
    assert drawn.responses != again.responses, "text scorers would find the same texts in their memory"


def test_the_base_is_in_bfloat16_and_what_is_trained_in_float32(subject):
    parameters = list(subject.trainer.policy.model.parameters())
    assert {p.dtype for p in parameters if not p.requires_grad} == {torch.bfloat16}
    assert {p.dtype for p in parameters if p.requires_grad} == {torch.float32}


def test_scorers_are_the_ready_made_ones(subject):
    assert tuple(subject.scorers) == subject.workload.scorers
    assert isinstance(subject.scorers["holistic"], RandomUltraRM)
    if subject.workload.task == "long_form_qa":
        assert isinstance(subject.scorers["factuality"], LongformerFactuality)
    responses = subject.responses(len(subject.prompts), seed=0)
    for name in subject.workload.scorers:
        assert all(math.isfinite(score.value) for score in subject.score(name, responses))


def test_an_iteration_goes_through_all_phases_and_all_passes(subject):
    laps = Laps("cpu")
    laps.start()
    before = [p.detach().clone() for p in subject.trainer.parameters]
    report = subject.iterate(laps)
    assert list(laps.medians()) == ["rollout", "scoring", "composition", "update"]
    assert (report["epochs"], report["skipped_mini_batches"]) == (4, 0)
    assert any((p != old).any() for p, old in zip(subject.trainer.parameters, before, strict=True))


def test_scores_are_put_on_tokens(subject):
    drawn, scores = subject.batch
    rewards = subject.compose(drawn, scores)
    holistic = torch.tensor([score.value for score in scores["holistic"]])
    weight = subject.workload.reward.holistic_weight
    assert torch.allclose(rewards.components["holistic"].sum(1), weight * holistic, atol=1e-4)


def test_the_estimate_is_near_what_an_update_holds(subject):
    drawn, scores = subject.batch
    per_token = subject.compose(drawn, scores).per_token
    subject.trainer.optimizer.zero_grad()
    cost = subject.cost("update", lambda: subject.update(drawn, per_token))
    assert cost.flops > 0
    assert subject.memory.phases["update, gradients included"] == pytest.approx(cost.tensor_bytes, rel=0.5)


def test_a_workload_without_checkpoints_of_its_own_shares_the_policys_shape():
    made = Subject(W1, "cpu", {})
    try:
        assert made.scorers["factuality"].reader.network.config.n_embd == 128
        responses = made.responses(4, seed=0)
        assert len(made.scorers["factuality"].score(made.prompts[:4], responses)) == 4
    finally:
        made.close()


def test_matrix_rates_are_operations_over_the_median_round(monkeypatch):
    ticks = iter(0.5 * tick for tick in range(1000))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))
    rates = matrix_rates("cpu", ["float32", "bfloat16"], size=8)
    assert rates == dict.fromkeys(("float32", "bfloat16"), 2 * 8**3 / 0.5)


def test_machines_are_compared_by_their_hardware():
    now = machine_facts("cpu")
    assert now["threads"] == torch.get_num_threads() and "torch" in now["versions"]
    check_comparable(now, {**now, "versions": {"torch": "1.0"}, "commit": "another"})
    with pytest.raises(ValueError, match="measured on GPU: Test Accelerator and this run is on CPU"):
        check_comparable(now, {**now, "hardware": "GPU: Test Accelerator"})
    with pytest.raises(ValueError, match="measured on unknown hardware"):
        check_comparable(now, {})


@pytest.mark.parametrize(
    ("keyword", "arguments", "asked"),
    [
        ("throughput", ["benchmarks"], True),
        ("throughput and rollout", ["benchmarks"], True),
        ("test_throughput_import", ["benchmarks"], True),
        ("", ["benchmarks/test_throughput.py"], True),
        ("", ["benchmarks"], False),
        ("alarm", ["benchmarks"], False),
        ("not throughput", ["benchmarks"], False),
        ("not test_throughput_import", ["benchmarks"], False),
    ],
)
def test_throughput_is_measured_only_when_asked_for(keyword, arguments, asked):
    config = SimpleNamespace(option=SimpleNamespace(keyword=keyword), invocation_params=SimpleNamespace(args=arguments))
    assert (asked_for(config) == "throughput") is asked
