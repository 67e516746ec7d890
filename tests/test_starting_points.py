"""The keys of what is trained from a checkpoint: its weights count, not its name, and nothing without a part in it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from alarm.files import sha256_of, write_json
from alarm.ppo.policy import Policy
from alarm.settings import AspectTrainingSettings, DataSettings
from alarm.store import DamagedArtifactWarning
from alarm.tasks.qa_feedback_files import CHECKSUMS
from tests import tiny_models
from tests.feedback_folders import qa_feedback
from tests.hub_models import longformer
from tests.micro import micro_lab, micro_preset

COMMITS = ("0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98")


def t5(folder: Path, seed: int = 0) -> Path:
    tiny_models.tokenizer().save_pretrained(tiny_models.checkpoint(folder, "t5", seed=seed))
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    return longformer(tmp_path_factory.mktemp("longformer"), labels=None)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return qa_feedback(tmp_path_factory.mktemp("data") / "qa_feedback").parent


@pytest.fixture
def lab(tmp_path, start, data):
    """A function from changes to a lab over QA-Feedback's files, whose aspect models start from a Longformer."""

    def make(folder: Path = data, **changes):
        training = AspectTrainingSettings(
            checkpoint=str(start), max_tokens=480, unit_steps=1, unit_responses=2, pair_steps=1, pairs=2
        )
        made = micro_lab(
            "long_form_qa",
            tmp_path / "store",
            **{"data": DataSettings(corpus="qa_feedback"), "aspect_training": training} | changes,
        )
        made._data = folder
        return made

    return make


def test_aspect_models_are_kept_whatever_the_policy_and_the_other_rewards_are(lab, tmp_path):
    micro = micro_preset("long_form_qa")
    trained = lab().reward_model("completeness")
    others = lab(
        policy=replace(micro.policy, checkpoint=str(t5(tmp_path / "t5"))),
        sft=replace(micro.sft, steps=1),
        reward_models=replace(micro.reward_models, holistic_model="ultrarm:some/model"),
    )
    assert others.reward_model("completeness") == trained
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"comparisons", "reward_model"}


def test_aspect_models_are_trained_again_from_other_weights_feedback_or_settings(lab, start, data, tmp_path):
    known = lab().aspect_inputs()
    other = longformer(tmp_path / "other" / start.name, labels=None, seed=1)
    assert _changed(known, lab(aspect_training=replace(lab().preset.aspect_training, checkpoint=str(other)))) == {
        "aspect_training",
        "aspect_start",
    }
    feedback = qa_feedback(tmp_path / "qa_feedback", seed=4)
    assert _changed(known, lab(feedback)) == {"feedback"}
    assert _changed(known, lab(reward_models=replace(lab().preset.reward_models, seed=5))) == {"reward_models"}


def test_what_the_aspect_models_start_from_is_in_the_keys_of_all_that_they_judge(lab):
    assert lab()._reward_inputs()["aspect_start"] == lab().aspect_start
    ready_made = replace(lab().preset.reward_models, aspect_models="folder")
    assert lab(reward_models=ready_made).aspect_start is None, "nothing is trained"


def test_other_weights_of_a_policy_in_the_same_folder_are_another_policy(lab, tmp_path):
    policy = replace(micro_preset("long_form_qa").policy, checkpoint=str(t5(tmp_path / "t5")))
    known = lab(policy=policy).inputs("policy", "sft")
    assert known == lab(policy=policy).inputs("policy", "sft")
    shutil.rmtree(tmp_path / "t5")
    t5(tmp_path / "t5", seed=1)
    changed = lab(policy=policy).inputs("policy", "sft")
    assert {name for name in known if known[name] != changed[name]} == {"policy_start"}
    assert "policy_start" not in lab(policy=policy).inputs("evaluation")


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The hub's cache with two commits of one policy; `main` is a file that names one."""
    folder = tmp_path / "hub" / "models--some--policy"
    for seed, commit in enumerate(COMMITS):
        t5(folder / "snapshots" / commit, seed=seed)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMITS[0])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder / "refs" / "main"


def test_the_hubs_commit_counts_not_the_name(lab, cached):
    policy = replace(micro_preset("long_form_qa").policy, checkpoint="some/policy")
    first = lab(policy=policy)
    assert first.inputs("policy")["policy_start"] == f"some/policy@{COMMITS[0][:12]}"
    cached.write_text(COMMITS[1])
    assert lab(policy=policy).policy_start.revision == COMMITS[1]
    assert lab(policy=replace(policy, revision=COMMITS[0])).policy_start == first.policy_start
    with_tokenizer = lab(policy=replace(policy, tokenizer_revision=COMMITS[0])).inputs("policy")
    assert with_tokenizer["policy_tokenizer"] == COMMITS[0]


def test_the_policy_that_is_loaded_is_that_of_the_key(lab, cached, monkeypatch):
    """Even if the hub has moved on in between."""
    loaded = []
    monkeypatch.setattr(Policy, "load", lambda name, settings, **_: loaded.append((name, settings.revision)) or 1 / 0)
    policy = replace(micro_preset("long_form_qa").policy, checkpoint="some/policy")
    moved = lab(policy=policy)
    assert moved.policy_start.revision == COMMITS[0]
    cached.write_text(COMMITS[1])
    with pytest.raises(ZeroDivisionError):
        moved.sft  # noqa: B018
    assert loaded == [("some/policy", COMMITS[0])]


def test_a_policy_that_is_not_to_be_had_is_named(lab, cached):
    policy = replace(micro_preset("long_form_qa").policy, checkpoint="some/other")
    with pytest.raises(ValueError, match="some/other is neither a folder nor in the hub's cache, and HF_HUB_OFFLINE"):
        lab(policy=policy).inputs("policy")


def test_the_files_of_real_data_are_named_with_their_checksums(lab, data, labs):
    files = data / "qa_feedback"
    names = {f"{name}.json" for name in ("train_1k", "train", "dev", "test", "train_feedback", "dev_feedback")}
    assert lab().data_files() == {name: sha256_of(files / name) for name in names}
    assert labs("long_form_qa").data_files() == {}


def test_a_file_that_changed_since_it_was_fetched_is_named(lab, data, tmp_path):
    folder = shutil.copytree(data, tmp_path / "copy") / "qa_feedback"
    write_json(folder / CHECKSUMS, {path.name: sha256_of(path) for path in folder.iterdir()})
    assert len(lab(folder.parent).task.split("dev")) == len(lab().task.split("dev"))
    changed = folder / "dev.json"
    changed.write_text(changed.read_text().replace("a", "e", 1))
    with pytest.raises(ValueError, match=r"dev\.json is not the file that was fetched.* fetch it again, or delete"):
        lab(folder.parent).task  # noqa: B018


def test_what_was_fetched_is_compared_at_each_later_reading(lab, data, monkeypatch):
    fetched = []

    def fetch(folder):
        shutil.copytree(data / "qa_feedback", folder, dirs_exist_ok=True)
        fetched.append(folder)

    monkeypatch.setattr("alarm.experiment.long_form_qa.fetch", fetch)
    kept = lab(None).data_directory()
    assert lab(None).data_directory() == kept and len(fetched) == 1
    (kept / "train.json").write_text("[]")
    with pytest.warns(DamagedArtifactWarning, match=r"qa_feedback .* is damaged \(train\.json has 2 bytes instead of"):
        assert lab(None).data_directory() == kept
    assert len(fetched) == 2


def _changed(known: dict, lab) -> set[str]:
    now = lab.aspect_inputs()
    return {name for name in known | now if known.get(name) != now.get(name)}
