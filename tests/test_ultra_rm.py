"""UltraRM's layout: the score is that of an explicit forward pass, and a checkpoint without its head is refused."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaModel

from alarm.scorers.base import Placement
from alarm.scorers.ultra_rm import UltraRMScorer
from tests.hub_models import byte_tokenizer, classifier, ultra_rm

PROMPTS = ["question: who won? context: a b c", "", "translate: ein Hund – draußen", "x" * 60]
RESPONSES = ["Ann won the cup in 1990.", "A dog.", "", "The old bridge opened; the new one did not."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ultra_rm(tmp_path_factory.mktemp("ultra_rm"))


def explicit_score(folder, prompt: str, response: str) -> float:
    """Transformers' own Llama on one text, then the head's weights read from the file, then one dot product."""
    weights = {}
    for file in folder.glob("*.bin"):
        weights |= torch.load(file, weights_only=True)
    body = LlamaModel(LlamaConfig(**json.loads((folder / "config.json").read_text()))).eval()
    own = {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}
    body.load_state_dict({name: value for name, value in own.items() if "inv_freq" not in name})
    text = f"Human: {prompt}\nAssistant: {response}"
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)[0][0]
    ids = [vocabulary["<s>"], *(vocabulary[piece] for piece in pieces)]
    with torch.no_grad():
        states = body(torch.tensor([ids])).last_hidden_state[0]
    return float(states[-1] @ weights["regression_head.weight"][0])


def values(scorer, prompts=PROMPTS, responses=RESPONSES) -> list[float]:
    return [score.value for score in scorer.score(prompts, responses)]


def test_the_score_is_that_of_an_explicit_forward_pass(folder):
    scores = values(UltraRMScorer(folder))
    expected = [explicit_score(folder, *pair) for pair in zip(PROMPTS, RESPONSES, strict=True)]
    assert scores == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert len({round(score, 3) for score in scores}) == len(scores)


@pytest.mark.parametrize("layout", ["safetensors", "bin"])
def test_every_layout_of_the_weights_scores_alike(folder, tmp_path, layout):
    other = UltraRMScorer(ultra_rm(tmp_path, layout=layout))
    assert values(other) == pytest.approx(values(UltraRMScorer(folder)), rel=1e-6)


def test_scores_do_not_depend_on_the_batch_or_its_order(folder):
    """Within 1e-4 in float32; the tokenizer has no padding token and the configuration none either."""
    alone = values(UltraRMScorer(folder, batch_size=1))
    assert values(UltraRMScorer(folder, batch_size=8)) == pytest.approx(alone, rel=1e-4, abs=1e-5)
    turned = values(UltraRMScorer(folder, batch_size=3), PROMPTS[::-1], RESPONSES[::-1])
    assert turned[::-1] == pytest.approx(alone, rel=1e-4, abs=1e-5)


def test_in_bfloat16_scores_stay_near_and_do_not_depend_on_the_batch(folder):
    """As on a GPU, with the head in float32; within 2 %, or 0.02."""
    exact, scorer = values(UltraRMScorer(folder)), UltraRMScorer(folder, batch_size=1)
    scorer.network.to(torch.bfloat16)
    alone = values(scorer)
    scorer.batch_size = 8
    assert values(scorer) == pytest.approx(alone, rel=0.02, abs=0.02)
    assert alone == pytest.approx(exact, rel=0.02, abs=0.02)
    assert alone != exact


def test_the_prompt_is_cut_at_its_end_and_never_the_response(folder):
    prompt, response = "the beginning counts, " + "but not the end " * 20, "A whole response."
    kept = 40
    template = len("Human: \nAssistant: ") + 1
    scorer = UltraRMScorer(folder, max_tokens=template + kept + len(response))
    with pytest.warns(UserWarning, match="cut at its end to fit the holistic model's 77 tokens"):
        cut, *same = values(scorer, [prompt, "short", prompt], [response] * 3)
    assert cut == pytest.approx(explicit_score(folder, prompt[:kept], response), rel=1e-4)
    assert same == pytest.approx([explicit_score(folder, "short", response), cut], rel=1e-4)
    assert scorer.truncated_prompts == scorer.count_cut([prompt, "short", prompt], [response] * 3) == 2


@pytest.mark.filterwarnings("ignore:a prompt was cut")
def test_a_response_beyond_the_limit_is_read_whole_up_to_the_models_own(folder):
    response = "A response that is longer than all that was asked for."
    scorer = UltraRMScorer(folder, max_tokens=20)
    assert values(scorer, ["a prompt"], [response]) == pytest.approx([explicit_score(folder, "", response)], rel=1e-4)
    with pytest.raises(ValueError, match="a response alone has more than the 2048 tokens"):
        scorer.score(["p"], ["r" * 2048])


def test_what_records_say_of_it(folder):
    scorer = UltraRMScorer(folder, max_tokens=300, batch_size=4)
    assert (scorer.name, scorer.placement, scorer.normalize, scorer.log_odds) == (
        "holistic", Placement.LAST, True, True,
    )  # fmt: skip
    assert scorer.facts() == {
        "version": scorer.version,
        "form": "Human: PROMPT\nAssistant: RESPONSE",
        "max_tokens": 300,
        "batch_size": 4,
        "dtype": "float32",
        "padding_side": "right",
    }


def test_other_weights_are_another_version(folder, tmp_path):
    same, other = ultra_rm(tmp_path / folder.name, seed=0), ultra_rm(tmp_path / "other", seed=1)
    versions = [UltraRMScorer(path).version for path in (folder, same, other)]
    assert versions[0] == versions[1] != versions[2]
    assert versions[0].startswith(f"ultrarm {folder.name}:")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("regression_head.weight", None, r"is no UltraRM: it lacks regression_head\.weight"),
        ("model.norm.weight", None, r"lacks model\.norm\.weight"),
        ("lm_head.weight", torch.zeros(2, 2), r"also holds lm_head\.weight"),
        ("regression_head.weight", torch.zeros(3, 16), r"the weights of .* cannot be read: .*"),
    ],
)
def test_a_checkpoint_with_a_weight_too_few_or_too_many_is_refused(tmp_path, name, value, problem):
    with pytest.raises(ValueError, match=problem):
        UltraRMScorer(ultra_rm(tmp_path, changes={name: value}))


def test_another_architecture_is_refused(tmp_path):
    byte_tokenizer(pad="<pad>").save_pretrained(classifier(tmp_path, "bert"))
    with pytest.raises(ValueError, match="is a bert model and UltraRM a llama; use classifier:NAME"):
        UltraRMScorer(tmp_path)


def test_loading_leaves_the_global_random_state_alone(folder):
    before = torch.get_rng_state()
    UltraRMScorer(folder)
    assert torch.equal(before, torch.get_rng_state())


def test_unequal_lists_and_a_score_that_is_not_finite_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="2 prompts but 1 responses"):
        UltraRMScorer(folder).score(["a", "b"], ["c"])
    broken = ultra_rm(tmp_path, changes={"regression_head.weight": torch.full((1, 16), torch.nan)})
    with pytest.raises(ValueError, match="gave a score that is not finite"):
        UltraRMScorer(broken).score(["a"], ["b"])
