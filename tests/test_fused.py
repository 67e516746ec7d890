"""The faster T5 and GPT-2 against transformers' own: values, gradients, sampling, and what is left as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.activations import NewGELUActivation

from alarm.fused import fuse_activations, fused
from alarm.fused.layout import Packing, take
from alarm.fused.norms import rms_norm
from alarm.ppo.batch import TokenBatch
from alarm.ppo.networks import set_dropout
from alarm.ppo.trunks import FusedTrunk, HuggingFaceTrunk, trunk_of

VOCABULARY = 23
T5_SIZE = {
    "vocab_size": VOCABULARY,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 3,
    "relative_attention_num_buckets": 6,
    "relative_attention_max_distance": 5,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
GPT2_SIZE = {"vocab_size": VOCABULARY, "n_positions": 32, "n_embd": 12, "n_layer": 2, "n_head": 3}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def t5(**changes) -> PreTrainedModel:
    return T5ForConditionalGeneration(T5Config(**T5_SIZE | changes))


def mt5() -> PreTrainedModel:
    return MT5ForConditionalGeneration(MT5Config(**T5_SIZE))


def gpt2(**changes) -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(**GPT2_SIZE | NO_DROPOUT | changes))


MODELS = {
    "t5": t5,
    "t5 with an output layer of its own": lambda: t5(tie_word_embeddings=False),
    "mt5, gated": mt5,
    "gpt2": gpt2,
}


def close(found, expected, model: PreTrainedModel) -> None:
    """As equal as transformers' own precision lets them be: its T5 takes norms and softmax in float32 always."""
    tolerance = 1e-9 if isinstance(model, GPT2LMHeadModel) else 2e-5
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def drawn(make) -> PreTrainedModel:
    torch.manual_seed(0)
    model = make().double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)  # far from what layers begin with
    return model


def batch_of(prompts: list[int], responses: list[int], *, seed: int = 0) -> TokenBatch:
    generator = torch.Generator().manual_seed(seed)

    def part(lengths: list[int]) -> tuple[Tensor, Tensor]:
        mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
        return torch.randint(1, VOCABULARY, mask.shape, generator=generator), mask

    return TokenBatch(*part(prompts), *part(responses))


BATCHES = {
    "padded": batch_of([4, 1, 6, 2, 6], [3, 5, 1, 4, 2]),
    "without padding": batch_of([5, 5], [4, 4]),
    "a row without a response": batch_of([3, 4], [0, 2]),
    "one token": batch_of([1], [1]),
}
every_batch = pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)


@every_model
@every_batch
def test_logits_states_and_gradients_are_those_of_transformers(make, batch):
    slow, fast = drawn(make), drawn(make)
    bias = torch.randn(VOCABULARY, dtype=torch.float64)
    trunk = trunk_of(fast)
    assert isinstance(trunk, FusedTrunk)
    weights = None
    found = []
    for model, kind in ((slow, HuggingFaceTrunk(slow)), (fast, trunk)):
        logits, states = kind.predict(batch, None)
        assert logits.shape == (int(batch.response_mask.sum()), VOCABULARY)
        if weights is None:
            weights = torch.randn_like(logits), torch.randn_like(states)
        ((logits.log_softmax(-1) * weights[0]).sum() + (states * weights[1]).sum()).backward()
        found.append((logits.detach(), states.detach(), {n: p.grad for n, p in model.named_parameters()}))
    (logits, states, gradients), (fast_logits, fast_states, fast_gradients) = found
    close(fast_logits, logits, slow)
    close(fast_states, states, slow)
    assert gradients.keys() == fast_gradients.keys()
    for name, gradient in gradients.items():
        expected = torch.zeros(1) if gradient is None else gradient
        got = torch.zeros(1) if fast_gradients[name] is None else fast_gradients[name]
        close(*torch.broadcast_tensors(got.double(), expected.double()), slow)
    biased, _ = trunk.predict(batch, bias)
    close(biased, logits + bias, slow)


@every_model
def test_prompts_that_repeat_are_read_once_with_the_same_result(make):
    model, batch = drawn(make), batch_of([4, 2, 4, 3], [3, 5, 2, 4])
    ids, mask = batch.prompt_ids.clone(), batch.prompt_mask.clone()
    ids[2], mask[2] = ids[0], mask[0]
    ids[3, :2], mask[3] = ids[1, :2], mask[1]
    again = TokenBatch(ids, mask, batch.response_ids, batch.response_mask)
    slow, fast = HuggingFaceTrunk(model).predict(again, None), trunk_of(model).predict(again, None)
    close(fast, slow, model)


@every_model
@pytest.mark.parametrize("prompts", [[4, 1, 6, 2], [5, 5, 5, 5]], ids=["padded", "of one length"])
@torch.no_grad()
def test_token_by_token_says_what_one_pass_says_also_for_rows_that_stay(make, prompts):
    model, length = drawn(make), 6
    batch = batch_of(prompts, [length] * len(prompts))
    bias = torch.randn(VOCABULARY, dtype=torch.float64)
    for trunk in (trunk_of(model), HuggingFaceTrunk(model)):
        logits, states = (part.view(len(prompts), length, -1) for part in trunk.predict(batch, bias))
        sampler = trunk.sampler(batch.prompt_ids, batch.prompt_mask, length, bias)
        rows, token = torch.arange(len(prompts)), None
        for place in range(length):
            step_logits, step_states = sampler.step(token)
            close(step_logits, logits[rows, place], model)
            close(step_states, states[rows, place], model)
            if place in (1, 3):
                kept = torch.tensor([2, 0, 1][: len(rows) - 1])
                sampler.keep(kept)
                rows = rows[kept]
            token = batch.response_ids[rows, place]


@every_model
def test_what_stands_in_padding_changes_nothing(make):
    model, batch = drawn(make), BATCHES["padded"]
    other = TokenBatch(
        nn.functional.pad(torch.where(batch.prompt_mask, batch.prompt_ids, 7), (0, 2), value=9),
        nn.functional.pad(batch.prompt_mask, (0, 2)),
        nn.functional.pad(torch.where(batch.response_mask, batch.response_ids, 8), (0, 3), value=5),
        nn.functional.pad(batch.response_mask, (0, 3)),
    )
    trunk = trunk_of(model)
    torch.testing.assert_close(trunk.predict(other, None), trunk.predict(batch, None), rtol=1e-10, atol=1e-10)


@every_model
def test_while_something_is_dropped_the_model_itself_is_called(make):
    model, batch = drawn(make), BATCHES["padded"]
    expected = trunk_of(model).predict(batch, None)[0]
    set_dropout(model, 0.5, adapters=False)
    trunk = trunk_of(model.train())
    torch.manual_seed(3)
    found = trunk.predict(batch, None)[0]
    torch.manual_seed(3)
    assert torch.equal(found, HuggingFaceTrunk(model).predict(batch, None)[0])
    assert not torch.allclose(found, expected)
    model.eval()
    close(trunk.predict(batch, None)[0], expected, model)


def test_gradients_of_frozen_weights_are_left_out():
    model = drawn(t5)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layer_norm" in name)
    logits, _ = trunk_of(model).predict(BATCHES["padded"], None)
    logits.square().sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        name for name, _ in model.named_parameters() if "layer_norm" in name
    }


def test_a_pass_without_gradients_leaves_nothing_that_disturbs_one_with_them():
    model, batch = drawn(t5), BATCHES["padded"]
    trunk = trunk_of(model)
    with torch.inference_mode():
        trunk.predict(batch, None)
    trunk.predict(batch, None)[0].sum().backward()
    assert model.shared.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(1, 4), (7, 16)])
def test_the_norm_and_its_gradients_by_torch(shape):
    generator = torch.Generator().manual_seed(1)
    states, weight = (torch.randn(s, generator=generator, dtype=torch.float64) for s in (shape, shape[1:]))
    states.requires_grad_(), weight.requires_grad_()
    expected = nn.functional.rms_norm(states, shape[1:], weight, 1e-3)
    torch.testing.assert_close(rms_norm(states, weight, 1e-3), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda s, w: rms_norm(s, w, 1e-3), (states, weight))


def test_packing_and_its_gradients():
    mask = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    padded = torch.arange(18.0, dtype=torch.float64).view(3, 3, 2).requires_grad_()
    packing = Packing(mask)
    packed = packing.pack(padded)
    assert packed.tolist() == padded[mask].tolist()
    assert packing.unpack(packed).tolist() == torch.where(mask.unsqueeze(2), padded, 0.0).tolist()
    assert take(packed, torch.tensor([3, 0])).tolist() == packed[[3, 0]].tolist()
    assert torch.autograd.gradcheck(lambda x: packing.unpack(packing.pack(x) ** 2), padded)
    assert torch.autograd.gradcheck(lambda x: take(packing.pack(x), torch.tensor([3, 0])) ** 2, padded)


def test_the_activation_in_one_pass_is_the_same_function():
    model = gpt2()
    assert isinstance(model.transformer.h[0].mlp.act, NewGELUActivation)
    fuse_activations(model)
    states = torch.linspace(-6, 6, 101, dtype=torch.float64)
    torch.testing.assert_close(model.transformer.h[1].mlp.act(states), NewGELUActivation()(states))


def test_other_networks_are_left_as_they_are():
    class Different(GPT2LMHeadModel):
        pass

    bart = BartConfig(vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2)
    bart.decoder_attention_heads = 2
    for model in (
        BartForConditionalGeneration(bart),
        Different(GPT2Config(**GPT2_SIZE)),
        gpt2(scale_attn_by_inverse_layer_idx=True),
        gpt2(scale_attn_weights=False),
        gpt2().bfloat16(),
    ):
        assert fused(model) is None
        assert isinstance(trunk_of(model), HuggingFaceTrunk)


def test_an_adapter_is_left_to_the_model():
    from peft import LoraConfig, get_peft_model, inject_adapter_in_model

    adapter = LoraConfig(target_modules=["q", "v"])
    assert fused(get_peft_model(t5(), adapter)) is None
    # As transformers loads a folder with an adapter in it: the model keeps its class.
    assert fused(inject_adapter_in_model(adapter, t5())) is None
