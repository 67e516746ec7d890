"""Base models: made by one command, the same after an interruption, and refused where they do not fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from alarm.experiment.base import CHECKED_PAIRS, PROVENANCE, TOKENIZER, WEIGHTS, check_base, fingerprint, pretrain
from alarm.experiment.lab import lab_class
from alarm.files import sha256_of
from alarm.presets import TASK_NAMES, preset
from alarm.settings import BaseSettings
from alarm.store import Store
from tests.micro import micro_preset


def lab_of(task, store, *, steps=6, world_seed=5, whole=False):
    small = preset("tiny", task) if whole else micro_preset(task)
    settings = BaseSettings(texts=60, steps=steps, batch_size=8)
    return lab_class(task)(replace(small, base=settings, data=replace(small.data, world_seed=world_seed)), Store(store))


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_package_holds_a_capable_base_of_every_world(task, tmp_path):
    lab = lab_class(task)(preset("tiny", task), Store(tmp_path))
    provenance = json.loads((check_base(lab) / PROVENANCE).read_text(encoding="utf-8"))
    assert provenance["held_out"]["greedy"] >= 0.95 * provenance["held_out"]["ceiling"]
    assert provenance["settings"]["steps"] == lab.preset.base.steps
    assert sum(file.stat().st_size for file in lab.base.iterdir()) < 4e6


@pytest.mark.parametrize("task", TASK_NAMES)
def test_no_dev_or_test_prompt_is_in_the_text(task, tmp_path):
    lab = lab_of(task, tmp_path, whole=True)
    prompts = {prompt for prompt, _ in lab.base_text(3000)}
    held_out = {example.prompt for split in ("dev", "test") for example in lab.task.split(split)}
    assert len(prompts) == 3000
    assert not prompts & held_out


def test_the_text_does_not_depend_on_how_much_of_it_is_asked_for(tmp_path):
    for task in TASK_NAMES:
        lab = lab_of(task, tmp_path)
        assert lab.base_text(40)[:15] == lab.base_text(15)


def test_an_interrupted_pretraining_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("alarm.experiment.base.CHECKPOINT_EVERY", 2)
    lab = lab_of("wmt", tmp_path / "store")

    def interrupt(step, steps, loss):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(lab, tmp_path / "broken", on_step=interrupt)
    taken = []
    resumed = pretrain(lab, tmp_path / "broken", on_step=lambda step, steps, loss: taken.append(step))
    assert taken == [5, 6], "it goes on from its last checkpoint, after step 4"
    whole = pretrain(lab, tmp_path / "whole")
    assert resumed["weights_sha256"] == whole["weights_sha256"] == sha256_of(tmp_path / "broken" / WEIGHTS)
    assert sorted(file.name for file in (tmp_path / "broken").iterdir()) == sorted(
        file.name for file in (tmp_path / "whole").iterdir()
    )
    other = pretrain(lab_of("wmt", tmp_path / "store", world_seed=6), tmp_path / "other")
    assert other["weights_sha256"] != whole["weights_sha256"]


def test_a_base_that_is_missing_damaged_or_of_another_text_is_named_with_its_command(tmp_path):
    lab = lab_of("wmt", tmp_path)
    remedy = "make it with `python -m alarm pretrain --task wmt --world-seed 5`"
    with pytest.raises(ValueError, match=f"is not in .*{remedy}"):
        check_base(lab)
    pretrain(lab, lab.base_folder)
    assert check_base(lab) == lab.base_folder == tmp_path / "bases" / "wmt-world5"
    moved = lab_of("wmt", tmp_path, world_seed=6)
    shutil.copytree(lab.base_folder, moved.base_folder)
    with pytest.raises(ValueError, match=r"was trained on another text .*--world-seed 6"):
        check_base(moved)
    weights = lab.base_folder / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=f"is damaged .*{remedy}"):
        check_base(lab)
    content[-1] ^= 1
    weights.write_bytes(content)
    tokenizer = lab.base_folder / TOKENIZER
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"is damaged .tokenizer.json and .*{remedy}"):
        check_base(lab)
    (lab.base_folder / PROVENANCE).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=f"provenance.json is damaged .*{remedy}"):
        check_base(lab)


def test_the_policy_and_every_reward_model_start_from_it(tmp_path):
    from alarm.ppo.policy import Policy

    lab = lab_of("wmt", tmp_path)
    pretrain(lab, lab.base_folder)
    assert lab.untrained_reader(0).network.body.state_dict().keys() == (
        Policy.load(lab.base_folder, lab.preset.policy).model.state_dict().keys()
    )
    base = Policy.load(lab.base_folder, lab.preset.policy).model.state_dict()
    read = lab.untrained_reader(0).network.body.state_dict()
    assert all(torch.equal(base[name], read[name]) for name in base)
    key = lab.inputs("policy")["base"]
    assert key == sha256_of(lab.base_folder / WEIGHTS), "the base's weights belong to the store's keys"
    assert "base" not in lab_class("wmt")(micro_preset("wmt"), Store(tmp_path)).inputs("policy")
    assert fingerprint(lab.base_text(CHECKED_PAIRS)) != fingerprint(lab.base_text(CHECKED_PAIRS - 1))
