"""Scale `paper`: constants as printed, every field with its source, and what is missing said before a start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alarm.__main__ import main
from alarm.experiment.choices import with_choices
from alarm.experiment.constants import Constants, paper_constants
from alarm.experiment.requirements import GIB, initial_memory, memory, total_memory
from alarm.paper_presets import LONG_FORM_QA, PAPER_PRESETS, WMT, flattened, source
from alarm.presets import preset
from alarm.tasks.qa_feedback import write_feedback


@pytest.mark.parametrize("task", ["long_form_qa", "wmt"])
def test_every_field_says_where_its_value_comes_from(task):
    origins = {name: source(task, name) for name, _ in flattened(preset("paper", task))}
    assert origins["policy.tokenizer_revision"] == "[ours] that of the checkpoint"
    assert all(origin.startswith(("[paper]", "[code]", "[fgrlhf]", "[ours]")) for origin in origins.values())
    with pytest.raises(KeyError):
        source(task, "ppo_gamma")


def test_the_tasks_differ_as_the_papers_table_says():
    settings = [
        (p.reward.holistic_weight, p.reward.threshold, p.ppo.learning_rate, p.ppo.batch_size, p.ppo.mini_batch_size)
        for p in (LONG_FORM_QA, WMT)
    ]
    assert settings == [(5.0, 0.6, 2e-4, 8, 4), (3.0, 0.5, 5e-4, 32, 16)]
    for p in PAPER_PRESETS.values():
        assert (p.policy.lora_rank, p.policy.lora_alpha, p.policy.lora_dropout, p.policy.dtype) == (
            16,
            32,
            0.05,
            "bfloat16",
        )
        assert (p.ppo.epochs, p.ppo.gamma, p.ppo.gae_lambda, p.ppo.clip_range, p.ppo.value_clip_range) == (
            4,
            1.0,
            0.95,
            0.2,
            0.2,
        )
        assert (p.ppo.value_weight, p.ppo.initial_kl_coef, p.ppo.target_kl, p.ppo.kl_horizon) == (0.1, 0.2, 6.0, 10_000)
    # 10 epochs of 1,000 examples by 4; two passes over 3,853 prompts by 8; 5 epochs of 63,000 pairs by 64.
    assert (LONG_FORM_QA.sft.steps, LONG_FORM_QA.ppo.iterations) == (10 * 1000 // 4, 2 * 3853 // 8)
    assert (WMT.sft.steps, WMT.ppo.iterations) == (5 * 63_000 // 64, 50)


def test_show_prints_configuration_downloads_memory_and_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["show", "--scale", "paper", "--task", "wmt"]) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert lines["reward.threshold"].split()[1:4] == ["0.5", "[paper]", "section"]
    assert "google/mt5-base" in printed and "openbmb/UltraRM-13b" in printed and "Helsinki-NLP/europarl" in printed
    memory_rows = [line.rpartition("  ") for line in printed.splitlines() if line.endswith("GiB")]
    names = {name.strip() for name, _, _ in memory_rows}
    assert any(name.startswith("supervised fine-tuning  ") and "reference policy" in name for name in names)
    assert {"reward models and PPO, all", "supervised fine-tuning, all"} <= {name.split("  ")[0] for name in names}
    assert all(float(size.split()[0]) < 60 for _, _, size in memory_rows)
    assert "LanguageTool" in printed.split("Downloads")[1].split("Memory")[0]
    assert "google/mt5-base (policy) is neither on this machine nor can it be asked for" in printed


def test_check_fails_where_something_is_missing_and_names_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write_feedback(tmp_path / "train_feedback.json", [])
    assert main(["show", "--scale", "paper", "--task", "long_form_qa", "--data", str(tmp_path), "--check"]) == 2
    printed = capsys.readouterr()
    assert "lacks train_1k.json, train.json, dev.json, test.json, dev_feedback.json of QA-Feedback" in printed.out
    assert "things are missing" in printed.err


@pytest.mark.parametrize("settings", [LONG_FORM_QA, WMT], ids=lambda settings: settings.task)
def test_everything_fits_one_card_of_80_gb_and_generation_needs_less_than_learning(settings, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    needs, first = memory(settings), initial_memory(settings)
    phases = needs[f"policy {settings.policy.checkpoint}"].phases
    assert phases["generation for evaluation"] < phases["update, gradients included"]
    assert first.phases["generation for evaluation"] < first.phases["step, gradients included"]
    assert 30 * GIB < min(first.total, total_memory(needs)) < max(first.total, total_memory(needs)) < 80e9
    aspects = {"weights of 3", "scoring", "training of one, optimiser included"}
    found = needs.get("aspect models")
    assert ({*found.resident, *found.phases} if found else set()) == (
        aspects if settings.task == "long_form_qa" else set()
    )


def test_smaller_scales_generate_as_many_at_once_as_their_records_did():
    for scale, task in (("tiny", "long_form_qa"), ("tiny", "wmt"), ("small", "wmt")):
        chosen = preset(scale, task)
        assert (chosen.evaluation.batch_size, chosen.sft.accumulation_steps) == (128, 1)


def test_check_is_content_with_scale_tiny(capsys):
    assert main(["show", "--check"]) == 0
    assert capsys.readouterr().out.count("nothing") == 2


def test_an_unknown_scale_is_named(capsys):
    assert main(["show", "--scale", "papr"]) == 2
    assert "Did you mean 'paper'" in capsys.readouterr().err


def test_the_papers_constants_are_taken_by_name_and_only_for_its_reward_model():
    assert paper_constants(WMT) == {}
    asked = replace(WMT, reward=replace(WMT.reward, constants="paper"))
    assert paper_constants(asked)["holistic"] == Constants(-2.34417221913525, 2.946283030347152, 0)
    assert set(paper_constants(asked)) == {"holistic", "readability"}
    answers = replace(LONG_FORM_QA, reward=replace(LONG_FORM_QA.reward, constants="paper"))
    assert set(paper_constants(answers)) == {"holistic"}, "our completeness model is another"
    published = replace(answers, reward_models=replace(answers.reward_models, aspect_models="folder"))
    assert set(paper_constants(published)) == {"holistic", "completeness"}
    other = replace(asked, reward_models=replace(WMT.reward_models, holistic_model="classifier:somebody/else"))
    with pytest.raises(ValueError, match=r"belong to UltraRM-13B, and the holistic model is classifier:somebody/else"):
        paper_constants(other)
    with pytest.raises(ValueError, match=r"must be 'measured' or 'paper', got 'papers'"):
        paper_constants(replace(WMT, reward=replace(WMT.reward, constants="papers")))


def test_choices_replace_a_presets_own_fields_and_only_where_they_mean_something():
    chosen = with_choices(WMT, {"source_language": "de", "prompt_prefix": "translate German to English: "})
    assert (chosen.data.source_language, chosen.data.prompt_prefix) == ("de", "translate German to English: ")
    taken = with_choices(WMT, {"policy": "halfrot/sft-mt5-base", "sft_steps": "0", "policy_revision": "abc"})
    assert (taken.policy.checkpoint, taken.policy.revision, taken.sft.steps) == ("halfrot/sft-mt5-base", "abc", 0)
    assert with_choices(WMT, {"holistic_model": "trained"}).reward_models.holistic_model is None
    with pytest.raises(ValueError, match=r"--source-language is for Europarl, at scale paper; wmt at scale tiny reads"):
        with_choices(preset("tiny", "wmt"), {"source_language": "fr"})
    with pytest.raises(ValueError, match=r"--sft-steps takes a whole number from 0, got 'none'"):
        with_choices(WMT, {"sft_steps": "none"})
