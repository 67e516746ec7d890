"""The policy on tiny T5 and GPT-2 networks: parity with the bare model, reference, adapters, dropout, saving."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

from alarm.ppo.batch import TokenBatch
from alarm.ppo.networks import build_model, freeze_all_but_norms
from alarm.ppo.policy import Policy
from alarm.ppo.trunks import encode_distinct, left_padded, positions
from alarm.settings import PolicySettings
from tests import tiny_models

ARCHITECTURES = ("t5", "gpt2")
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    paths = {name: tiny_models.checkpoint(folder / name, name) for name in ARCHITECTURES}
    for path in paths.values():
        tiny_models.tokenizer().save_pretrained(path)
    return paths


def network(path: Path, **settings) -> Policy:
    return Policy.load(path, PolicySettings(**settings), seed=0).eval()


def token_batch(seed: int = 0, *, prompts=(4, 1, 6, 2), responses=(3, 5, 0, 1)) -> TokenBatch:
    generator = torch.Generator().manual_seed(seed)

    def part(lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
        ids = torch.randint(3, len(tiny_models.WORDS), mask.shape, generator=generator)
        return torch.where(mask, ids, 0), mask

    return TokenBatch(*part(prompts), *part(responses))


def padded(batch: TokenBatch, prompt: int, response: int) -> TokenBatch:
    """The same batch in wider tensors, with ids that mean something in the padding."""
    return TokenBatch(
        nn.functional.pad(batch.prompt_ids, (0, prompt), value=5),
        nn.functional.pad(batch.prompt_mask, (0, prompt)),
        nn.functional.pad(batch.response_ids, (0, response), value=6),
        nn.functional.pad(batch.response_mask, (0, response)),
    )


def bare(policy: Policy, prompt: list[int], response: list[int]) -> tuple[Tensor, Tensor]:
    """Logits [n, V] and last hidden states [n, H] of one response from the bare model, without any padding."""
    if policy.is_encoder_decoder:
        decoder = torch.tensor([[policy.config.decoder_start_token_id, *response[:-1]]])
        ids = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": decoder}
        out = policy.model(**ids, output_hidden_states=True)
        return out.logits[0], out.decoder_hidden_states[-1][0]
    out = policy.model(input_ids=torch.tensor([prompt + response]), output_hidden_states=True)
    span = slice(len(prompt) - 1, -1)
    return out.logits[0, span], out.hidden_states[-1][0, span]


@every_architecture
@torch.no_grad()
def test_outputs_equal_those_of_the_bare_model_row_by_row(checkpoints, architecture):
    policy, batch = network(checkpoints[architecture]), token_batch()
    out, text = policy(batch), policy.text_log_probs(batch)
    for row in range(len(batch)):
        prompt = batch.prompt_ids[row][batch.prompt_mask[row]].tolist()
        response = batch.response_ids[row][batch.response_mask[row]].tolist()
        n = len(response)
        assert not torch.cat([out.log_probs[row, n:], out.values[row, n:], out.entropy[row, n:], text[row, n:]]).any()
        if n:
            logits, hidden = bare(policy, prompt, response)
            expected = policy.value_head(hidden).squeeze(-1)
            torch.testing.assert_close(out.values[row, :n], expected, rtol=1e-4, atol=1e-5)
            chosen = torch.tensor(response).unsqueeze(1)
            expected = logits.log_softmax(-1).gather(1, chosen).squeeze(1)
            torch.testing.assert_close(text[row, :n], expected, rtol=1e-4, atol=1e-5)
            # Padding 0 and the unknown token 2 are impossible, the end token 1 is not.
            logits[:, [0, 2]] = -torch.inf
            distribution = torch.distributions.Categorical(logits=logits)
            expected = distribution.log_prob(chosen.squeeze(1))
            torch.testing.assert_close(out.log_probs[row, :n], expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(out.entropy[row, :n], distribution.entropy(), rtol=1e-4, atol=1e-5)


@every_architecture
@torch.no_grad()
def test_padding_and_order_change_nothing(checkpoints, architecture):
    policy, batch = network(checkpoints[architecture]), token_batch()
    with torch.no_grad():
        policy.value_head[1].weight.normal_(generator=torch.Generator().manual_seed(0))
    order = torch.tensor([2, 0, 3, 1])
    plain, wide, moved = policy(batch), policy(padded(batch, 3, 2)), policy(batch.rows(order))
    for name in ("log_probs", "values", "entropy"):
        expected = getattr(plain, name)
        torch.testing.assert_close(getattr(wide, name)[:, :-2], expected, rtol=1e-4, atol=1e-5)
        assert not getattr(wide, name)[:, -2:].any()
        torch.testing.assert_close(getattr(moved, name), expected[order], rtol=1e-4, atol=1e-5)
    assert plain.values[batch.response_mask].abs().min() > 0


def test_a_repeated_prompt_is_encoded_once_and_stands_in_every_row(checkpoints, monkeypatch):
    model = Policy.load(checkpoints["t5"], PolicySettings()).model
    # The third row is the first with other padding; the fourth has the same ids, but one more of them is real.
    ids = torch.tensor([[5, 6, 7], [8, 9, 4], [5, 6, 3], [5, 6, 7]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1]]).bool()
    read = []
    forward = model.get_encoder().forward
    monkeypatch.setattr(
        model.get_encoder(), "forward", lambda **options: read.append(len(options["input_ids"])) or forward(**options)
    )
    states = encode_distinct(model, ids, mask)[0]
    assert read == [3]
    each = torch.cat([forward(input_ids=ids[i : i + 1], attention_mask=mask[i : i + 1].long())[0] for i in range(4)])
    torch.testing.assert_close(states[mask], each[mask], rtol=1e-4, atol=1e-5)
    gradient = torch.autograd.grad(states[mask].square().sum(), model.shared.weight)[0]
    expected = torch.autograd.grad(each[mask].square().sum(), model.shared.weight)[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


@every_architecture
def test_tuning_norms_trains_their_scales_and_the_value_head_only(checkpoints, architecture):
    policy = network(checkpoints[architecture], tuned="norms")
    trained = {name for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert trained and all("norm" in name or ".ln_" in name for name in trained)
    assert not any(
        "norm" in name or ".ln_" in name for name, p in policy.model.named_parameters() if name not in trained
    )
    heads = {id(parameter) for parameter in policy.value_head.parameters()}
    assert len(policy.trainable_parameters()) == len(trained) + len(heads)


def test_tuning_that_cannot_be_is_refused(checkpoints):
    for settings in ({"tuned": "biases"}, {"tuned": "norms", "lora_rank": 2}):
        with pytest.raises(ValueError, match="tuned must be all or norms, and 'all' with an adapter"):
            network(checkpoints["t5"], **settings)
    with pytest.raises(ValueError, match="no normalisation layers"):
        freeze_all_but_norms(nn.Linear(2, 2))


def test_prompts_are_moved_next_to_their_responses():
    ids, mask = left_padded(torch.tensor([[7, 8, 0], [9, 0, 0]]), torch.tensor([[1, 1, 0], [1, 0, 0]]).bool())
    assert ids.tolist() == [[0, 7, 8], [0, 0, 9]]
    assert mask.tolist() == [[False, True, True], [False, False, True]]
    assert positions(mask).tolist() == [[0, 0, 1], [0, 0, 0]]


@every_architecture
def test_entropies_are_computed_only_if_asked(checkpoints, architecture):
    policy, batch = network(checkpoints[architecture]), token_batch()
    full, lean = policy(batch), policy(batch, with_entropy=False)
    assert torch.equal(full.log_probs, lean.log_probs)
    assert torch.equal(full.values, lean.values)
    assert not lean.entropy.any()
    assert not full.entropy.requires_grad


@pytest.mark.parametrize("lora_rank", [0, 4])
@every_architecture
def test_training_never_moves_the_reference(checkpoints, architecture, lora_rank):
    policy, batch = network(checkpoints[architecture], lora_rank=lora_rank), token_batch()
    before = policy.reference_log_probs(batch)
    assert torch.equal(policy(batch).log_probs, before)
    names = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    if lora_rank:
        assert all("lora_" in name or name.startswith("value_head") for name in names)
        assert any("lora_A" in name for name in names)
    else:
        assert names == {name for name, _ in policy.named_parameters()}
    assert not any("reference" in name for name in policy.state_dict())
    optimizer = torch.optim.SGD(policy.trainable_parameters(), lr=1.0)
    for _ in range(2):  # the first step of an adapter leaves its output where it was for lora_A
        optimizer.zero_grad()
        (policy(batch).log_probs.sum() + policy(batch).values.sum()).backward()
        optimizer.step()
    assert (policy(batch).log_probs - before).abs().max() > 1e-3
    torch.testing.assert_close(policy.reference_log_probs(batch), before, rtol=0, atol=0)
    assert not policy.training


def test_the_reference_moves_between_devices_and_dtypes_with_the_policy(checkpoints):
    policy = network(checkpoints["t5"]).double()
    assert {parameter.dtype for parameter in policy._reference[0].parameters()} == {torch.float64}


@every_architecture
def test_value_gradients_reach_the_trunk(checkpoints, architecture):
    policy = network(checkpoints[architecture])
    policy(token_batch()).values.sum().backward()
    assert policy.model.get_input_embeddings().weight.grad.abs().sum() > 0


def test_the_base_model_has_no_dropout_even_in_training_mode(checkpoints, tmp_path):
    config = T5Config.from_pretrained(checkpoints["t5"], dropout_rate=0.5)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    policy = Policy.load(tmp_path, PolicySettings(), value_dropout=0.0)
    batch = token_batch()
    assert torch.equal(policy.train()(batch).log_probs, policy.eval()(batch).log_probs)
    with_dropout = Policy.load(tmp_path, PolicySettings(), value_dropout=0.9).train()
    assert not torch.equal(with_dropout(batch).values, with_dropout.eval()(batch).values)


@pytest.mark.parametrize("lora_rank", [0, 4])
@every_architecture
def test_a_saved_policy_loads_as_it_was_here_and_elsewhere(checkpoints, architecture, lora_rank, tmp_path):
    policy, batch = network(checkpoints[architecture], lora_rank=lora_rank), token_batch()
    with torch.no_grad():
        for parameter in policy.trainable_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.05)
    expected = policy(batch)
    policy.save(tmp_path)
    assert torch.equal(policy(batch).log_probs, expected.log_probs)
    loaded = Policy.load(tmp_path, PolicySettings(), seed=9).eval()
    torch.testing.assert_close(loaded(batch).log_probs, expected.log_probs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loaded(batch).values, expected.values, rtol=1e-4, atol=1e-5)
    auto = AutoModelForSeq2SeqLM if policy.is_encoder_decoder else AutoModelForCausalLM
    model = auto.from_pretrained(tmp_path)
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in loaded.model.named_parameters()}
    assert loaded.tokenizer.get_vocab() == policy.tokenizer.get_vocab()


@every_architecture
def test_small_updates_of_a_bfloat16_policy_survive_saving(checkpoints, architecture, tmp_path):
    policy, batch = network(checkpoints[architecture], lora_rank=4, dtype="bfloat16"), token_batch()
    base = {name: value.clone() for name, value in policy.model.get_base_model().named_parameters()}
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=1e-5, generator=torch.Generator().manual_seed(1))
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path, PolicySettings())
    changed = 0
    for module_name, module in policy.model.get_base_model().named_modules():
        if hasattr(module, "lora_A"):
            own = loaded.model.get_submodule(module_name).weight
            delta = own - base[f"{module_name}.base_layer.weight"].float()
            expected = module.get_delta_weight("default").float()
            torch.testing.assert_close(delta, expected, rtol=0, atol=1e-7)
            assert expected.abs().max() > 1e-6
            # In bfloat16 most weights would be what they were.
            assert (own.bfloat16() == base[f"{module_name}.base_layer.weight"]).float().mean() > 0.5
            changed += 1
    assert changed > 0 and {p.dtype for p in policy.model.get_base_model().parameters()} > {torch.bfloat16}
    torch.testing.assert_close(loaded(batch).log_probs, policy(batch).log_probs, rtol=0, atol=0.03)
    auto = AutoModelForSeq2SeqLM if policy.is_encoder_decoder else AutoModelForCausalLM
    assert auto.from_pretrained(tmp_path, dtype="auto").dtype == torch.float32


@every_architecture
def test_a_seed_decides_the_weights_and_leaves_torch_alone(checkpoints, architecture):
    settings = PolicySettings(architecture={"t5": "seq2seq", "gpt2": "causal"}[architecture], hidden_size=16, heads=2)
    tokenizer = tiny_models.tokenizer()
    state = torch.get_rng_state()
    models = [build_model(settings, tokenizer, max_tokens=20, seed=seed) for seed in (0, 0, 1)]
    first, same, other = (nn.utils.parameters_to_vector(model.parameters()) for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    heads = [Policy(models[0], tokenizer, seed=seed).value_head[1].weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    adapted = [Policy.load(checkpoints[architecture], PolicySettings(lora_rank=2), seed=seed) for seed in (0, 0, 1)]
    first, same, other = (nn.utils.parameters_to_vector(policy.trainable_parameters()) for policy in adapted)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@every_architecture
def test_an_adapter_on_bfloat16_weights_is_trained_in_float32(checkpoints, architecture):
    policy, batch = network(checkpoints[architecture], lora_rank=4, dtype="bfloat16"), token_batch()
    assert {parameter.dtype for parameter in policy.trainable_parameters()} == {torch.float32}
    assert torch.bfloat16 in {parameter.dtype for parameter in policy.parameters()}
    out = policy(batch)
    assert out.log_probs.dtype == out.values.dtype == out.entropy.dtype == torch.float32
    assert torch.equal(out.log_probs, policy.reference_log_probs(batch))


def test_a_tokenizer_without_padding_pads_with_its_end_token_which_stays_possible(checkpoints):
    tokenizer = tiny_models.tokenizer()
    tokenizer.pad_token = None
    policy = Policy(AutoModelForCausalLM.from_pretrained(checkpoints["gpt2"]), tokenizer, seed=0)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert policy.logit_bias[tokenizer.eos_token_id] == 0


def test_settings_that_cannot_work_are_refused(checkpoints):
    with pytest.raises(ValueError, match="unknown dtype 'float64'; known: float32, bfloat16, float16"):
        network(checkpoints["t5"], dtype="float64")
    with pytest.raises(ValueError, match="t5 overflows in float16"):
        network(checkpoints["t5"], dtype="float16", lora_rank=4)
    with pytest.raises(ValueError, match="round small updates away"):
        network(checkpoints["gpt2"], dtype="bfloat16")
    with pytest.raises(ValueError, match="unknown architecture 'rnn'; known: causal, seq2seq"):
        build_model(PolicySettings(architecture="rnn"), tiny_models.tokenizer(), max_tokens=8, seed=0)
