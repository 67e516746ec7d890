"""Whole runs whose holistic reward is ready-made: nothing trains it, and what would train it is left out or refused."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

import baselines  # noqa: F401  registers the baselines
from alarm.experiment.best_of_k import best_of_k
from alarm.experiment.matrix import RunSpec
from alarm.experiment.publish import publish_run, publish_setup
from alarm.experiment.run import Run
from alarm.experiment.session import Session
from alarm.records import read_setup, setup_path
from alarm.report.render import render
from alarm.scorers.forms import FORMS
from alarm.scorers.longformer import FOLDERS
from tests.comet_models import generated_rows, train_comet
from tests.hub_models import byte_tokenizer, classifier, longformer, ultra_rm
from tests.micro import ITERATIONS, TASKS, micro_lab, micro_preset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ultra_rm(tmp_path_factory.mktemp("models") / "ultra_rm")


@pytest.fixture(scope="module")
def ready_made(labs, micro_store, folder):
    """A function from a task's name to a micro lab with that model; it shares the SFT policy with the others."""

    def lab(task: str):
        labs(task).sft  # noqa: B018  built once
        models = replace(micro_preset(task).reward_models, holistic_model=f"ultrarm:{folder}")
        return micro_lab(task, micro_store, reward_models=models)

    return lab


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a prompt was cut")
@pytest.mark.parametrize("task", TASKS)
def test_a_run_with_a_ready_made_holistic_reward(ready_made, task, tmp_path, monkeypatch):
    lab = ready_made(task)
    trained = []
    monkeypatch.setattr(
        "alarm.reward_modeling.recipe_training.train_recipe", lambda *_, **__: trained.append("holistic")
    )
    record = Run(lab, RunSpec(task, "alarm", seed=1)).record()
    assert record.error is None and len(record.history) == ITERATIONS
    assert record.method_settings["reward_model"] == lab.holistic_scorer.version
    assert record.method_settings["reward_model"].startswith("ultrarm ultra_rm:")
    assert record.settings["reward_models"]["holistic_model"] == lab.preset.reward_models.holistic_model
    spreads = [row["holistic_sd"] for row in record.history]
    assert all(spread > 0 for spread in spreads)
    assert [row["current_spread"] > 0 for row in record.history if "round" in row] == [True] * 4

    publish_setup(tmp_path, lab)
    publish_run(tmp_path, record)
    assert best_of_k(lab).selectors["holistic"]["gold"]
    facts = read_setup(setup_path(tmp_path, "tiny", task)).facts
    texts = [sample.prompt for sample in lab.dev_samples], [sample.response for sample in lab.dev_samples]
    cut = lab.holistic_scorer.count_cut(*texts)
    assert cut == len(lab.dev_samples) if task == "long_form_qa" else cut < len(lab.dev_samples)
    assert facts["ready_made_models"] == {"holistic": lab.holistic_scorer.facts() | {"dev_prompts_cut": cut}}
    assert facts["ready_made_models"]["holistic"]["max_tokens"] == 190  # a quarter above 128 + 24
    assert facts["constants"]["holistic"]["std"] > 0
    kinds = set(lab.learned) - {"holistic"}
    assert set(facts.get("reward_models", ())) == kinds and ("comparisons" in facts) == bool(kinds)
    assert render(tmp_path, "tiny")
    assert not trained


@pytest.mark.parametrize("recipe", ["margin", "meta"])
def test_recipes_do_not_train_a_ready_made_model(ready_made, recipe):
    lab = ready_made("wmt")
    with pytest.raises(ValueError, match=f"recipe {recipe} trains the holistic model .* with --holistic-model trained"):
        lab.holistic(recipe)
    with pytest.raises(ValueError, match=f"recipe {recipe} trains the holistic model"):
        lab.reward_model("holistic", recipe)


def test_other_weights_in_the_same_folder_are_not_taken_for_the_old_ones(ready_made, micro_store, tmp_path):
    models = replace(micro_preset("wmt").reward_models, holistic_model=f"ultrarm:{ultra_rm(tmp_path / 'm')}")
    before = micro_lab("wmt", micro_store, reward_models=models).inputs("reward_models")
    shutil.rmtree(tmp_path / "m")
    ultra_rm(tmp_path / "m", seed=1)
    after = micro_lab("wmt", micro_store, reward_models=models).inputs("reward_models")
    assert {name for name in before if before[name] != after[name]} == {"ready_made"}
    assert "ready_made" not in ready_made("wmt").inputs("policy", "sft")


def session(tmp_path, **options) -> Session:
    return Session(**{"scale": "tiny", "results": tmp_path / "results", "store": tmp_path / "store", **options})


def test_without_names_only_runs_that_train_no_holistic_model_are_left(tmp_path, folder):
    spec = f"ultrarm:{folder}"
    chosen = session(tmp_path, holistic_model=spec, seeds=(1,), full=True)
    plain = session(tmp_path, seeds=(1,), full=True)
    assert {str(run) for run in chosen.specs} < {str(run) for run in plain.specs}
    left_out = {run.method for run in plain.specs} - {run.method for run in chosen.specs}
    assert {"denoised_rm", "meta_rm", "alarm@simcse"} <= left_out
    assert not {"alarm", "log_sigmoid_sum", "holistic_only"} & left_out
    assert (chosen.sources, chosen.pools, chosen.tasks) == ([], ["long_form_qa", "wmt"], ["long_form_qa", "wmt"])
    assert chosen.lab("wmt").preset.reward_models.holistic_model == spec
    trained = session(tmp_path, holistic_model="trained", seeds=(1,), full=True)
    assert trained.specs == plain.specs and trained.sources == plain.sources


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"methods": ("meta_rm",)}, r"recipe meta trains the holistic model on comparisons, but it is the ready-made"),
        ({"methods": ("alarm@margin",)}, r"recipe margin trains the holistic model"),
        ({"recipes": ("flip",)}, r"recipe flip trains the holistic model .*; leave out the recipe, or train"),
        ({"sources": ("wmt",)}, r"--source wmt studies how its holistic model is trained, but it is the ready-made"),
        ({"holistic_model": "ultrarn:x"}, r"unknown kind of holistic model 'ultrarn'. Did you mean 'ultrarm'\?"),
        ({"holistic_model": "ultrarm:/no/folder"}, r"there is no folder /no/folder; name one that holds config\.json"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_before_anything_is_made(tmp_path, folder, options, problem):
    with pytest.raises(ValueError, match=problem):
        session(tmp_path, **{"holistic_model": f"ultrarm:{folder}", **options})
    assert not (tmp_path / "store").exists()


def test_a_classifier_takes_the_same_place(labs, micro_store, tmp_path):
    byte_tokenizer().save_pretrained(classifier(tmp_path, "llama"))
    models = replace(micro_preset("wmt").reward_models, holistic_model=f"classifier:{tmp_path}")
    lab = micro_lab("wmt", micro_store, reward_models=models)
    prompts = [sample.prompt for sample in lab.dev_samples]
    scores = lab.holistic_scorer.score(prompts, [sample.response for sample in lab.dev_samples])
    assert lab.constants["holistic"].mean == pytest.approx(sum(score.value for score in scores) / len(scores))
    assert lab.selection["selected"] in lab.task.aspects


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a prompt was cut")
def test_a_run_with_ready_made_aspects_needs_no_comparisons(labs, micro_store, folder, tmp_path):
    """Every reward of long-form QA is ready-made: nobody is asked to compare anything."""
    for kind, name in FOLDERS.items():
        longformer(tmp_path / "models" / name, labels=FORMS[kind].labels or None)
    store = tmp_path / "store"
    labs("long_form_qa").sft  # noqa: B018  built once
    shutil.copytree(micro_store / "sft", store / "sft")
    chosen = {"holistic_model": f"ultrarm:{folder}", "aspect_models": str(tmp_path / "models")}
    models = replace(micro_preset("long_form_qa").reward_models, **chosen)
    lab = micro_lab("long_form_qa", store, reward_models=models)
    assert lab.trained == ()
    record = Run(lab, RunSpec("long_form_qa", "weighted_sum", seed=1, aspect="completeness")).record()
    assert record.error is None
    versions = record.method_settings["scorers"]
    assert {kind: versions[kind].split(":")[0] for kind in FOLDERS} == {
        kind: f"longformer {name}" for kind, name in FOLDERS.items()
    }
    facts = lab.setup_facts()
    assert set(facts["ready_made_models"]) == {"holistic", *FOLDERS} and "comparisons" not in facts
    assert {"comparisons", "reward_model"}.isdisjoint(path.name for path in store.iterdir())


def test_missing_aspect_models_are_named_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"has no folder fact_rm or factuality with the factuality model"):
        session(tmp_path, aspect_models=tmp_path)
    assert session(tmp_path, aspect_models=tmp_path, tasks=("wmt",)).tasks == ["wmt"]


@pytest.mark.slow
@pytest.mark.parametrize("referenceless", [False, True])
def test_comet_judges_translations_in_the_same_place(labs, micro_store, tmp_path, referenceless):
    """A model that compares with references finds that of every prompt it may be asked about."""
    pytest.importorskip("comet")
    rows = generated_rows(tmp_path / "world", 40, seed=5)
    checkpoint = train_comet(tmp_path / "comet", rows, referenceless=referenceless, epochs=1)
    models = replace(micro_preset("wmt").reward_models, holistic_model=f"comet:{checkpoint}")
    labs("wmt").sft  # noqa: B018  built once
    lab = micro_lab("wmt", micro_store, reward_models=models)
    assert lab.holistic_scorer.value_name == "COMET" and not lab.holistic_scorer.log_odds
    assert lab.constants["holistic"].std > 0
    for split in ("train", "dev", "test"):
        example = lab.task.split(split)[0]
        assert lab.holistic_scorer.score([example.prompt], [example.reference])
    record = Run(lab, RunSpec("wmt", "log_sigmoid_sum", seed=1)).record()
    assert record.error is None
    assert record.method_settings["reward_model"].startswith("unbabel-comet")


@pytest.mark.filterwarnings("ignore:a prompt was cut")
def test_two_tasks_of_a_session_share_one_loaded_model(tmp_path, folder):
    chosen = session(tmp_path, holistic_model=f"ultrarm:{folder}", seeds=(1,))
    answers, translations = (chosen.lab(task).holistic_scorer for task in TASKS)
    assert answers.network is translations.network and answers is chosen.lab("long_form_qa").holistic_scorer
    assert answers is not translations, "each counts the prompts that it cuts"
    short = answers.limited(20)
    short.score(["a b " * 20], ["c"])
    assert (short.max_tokens, short.truncated_prompts, answers.truncated_prompts) == (20, 1, 0)
    assert answers.limited(None).max_tokens == answers.limited(10**6).max_tokens == answers.limit
    assert answers.score(["who ?"], ["c"]) == translations.score(["who ?"], ["c"])
    other = session(tmp_path, holistic_model=f"ultrarm:{folder}", seeds=(1,))
    assert other.lab("wmt").holistic_scorer.network is not answers.network
