"""Aspect models of long-form QA trained on feedback from a checkpoint of their own, by name or folder."""

from __future__ import annotations

import pytest
from transformers import AutoConfig, AutoTokenizer

from alarm.files import read_json
from alarm.scorers.learned import FactualityScorer
from alarm.settings import AspectTrainingSettings
from tests import tiny_models
from tests.hub_models import longformer
from tests.micro import micro_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A lab whose aspect models start from an encoder that is not the policy."""
    folder = tiny_models.checkpoint(tmp_path_factory.mktemp("encoder"), "bert")
    tiny_models.tokenizer().save_pretrained(folder)
    training = AspectTrainingSettings(
        checkpoint=str(folder),
        max_tokens=120,
        unit_steps=3,
        unit_responses=4,
        pair_steps=2,
        pairs=4,
        gradient_checkpointing=True,
    )
    return micro_lab("long_form_qa", tmp_path_factory.mktemp("store"), aspect_training=training)


@pytest.mark.parametrize(("kind", "labels"), [("factuality", 3), ("completeness", 1)])
def test_a_model_starts_from_its_own_checkpoint(lab, kind, labels):
    folder = lab.reward_model(kind)
    config = AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.num_labels) == ("bert", labels)
    assert read_json(folder / "scorer.json")["max_tokens"] == 120


def test_the_settings_of_units_and_of_pairs_are_their_own(lab):
    units, pairs = (lab._aspect_start(kind) for kind in ("relevance", "completeness"))
    assert (units["settings"].steps, units["settings"].batch_size, units["settings"].learning_rate) == (3, 8, 5e-6)
    assert (pairs["settings"].steps, pairs["settings"].batch_size, pairs["settings"].learning_rate) == (2, 4, 5e-5)
    assert units["settings"].gradient_checkpointing and pairs["settings"].gradient_checkpointing
    assert lab._policy_start()["checkpoint"] == lab.policy_directory


def test_the_holistic_model_starts_from_the_policy_still(lab):
    assert AutoConfig.from_pretrained(lab.reward_model("holistic")).model_type == "t5"


def test_the_trained_model_scores_sentences(lab):
    scorer = FactualityScorer(lab.reward_model("factuality"))
    (score,) = scorer.score(["question : who ?"], ["The cat is big. The dog is red."])
    assert len(score.spans) == 2 and 0 <= score.value <= 1


def test_another_training_is_another_artifact(lab):
    other = micro_lab("long_form_qa", lab.store.root, aspect_training=AspectTrainingSettings(unit_steps=4))
    assert other._reward_inputs() != lab._reward_inputs()


@pytest.mark.parametrize("kind", ["relevance", "completeness"])
def test_a_longformer_as_the_hub_has_it_can_be_the_start(tmp_path, kind):
    """Its tokenizer reads text, not words, unless it is told to."""
    folder = longformer(tmp_path / "longformer", labels=None)
    assert not AutoTokenizer.from_pretrained(folder).add_prefix_space
    training = AspectTrainingSettings(
        checkpoint=str(folder), max_tokens=480, unit_steps=1, unit_responses=2, pair_steps=1, pairs=2
    )
    trained = micro_lab("long_form_qa", tmp_path / "store", aspect_training=training).reward_model(kind)
    assert AutoConfig.from_pretrained(trained).model_type == "longformer"
