"""Ready-made holistic rewards by name: kinds, and what is said of a model that is not there before anything loads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from alarm.registry import UnknownNameError
from alarm.scorers.external import (
    KINDS,
    check_holistic,
    holistic_version,
    load_holistic,
    needs_references,
    repository,
    token_limit,
)
from alarm.scorers.sequence_classifier import ClassifierScorer
from alarm.scorers.ultra_rm import UltraRMScorer
from tests.hub_models import byte_tokenizer, classifier, ultra_rm


def test_each_kind_loads_its_scorer(tmp_path):
    one = load_holistic(f"ultrarm:{ultra_rm(tmp_path / 'a')}", device="cpu", max_tokens=300, batch_size=4)
    assert isinstance(one, UltraRMScorer)
    assert (one.max_tokens, one.batch_size) == (300, 4)
    byte_tokenizer().save_pretrained(classifier(tmp_path / "b", "llama"))
    other = load_holistic(f"classifier:{tmp_path / 'b'}", references={"p": "r"})
    assert isinstance(other, ClassifierScorer) and other.max_tokens == 1024


def test_a_version_is_told_without_loading_and_is_the_scorers(tmp_path, monkeypatch):
    folder = ultra_rm(tmp_path / "a")
    version = UltraRMScorer(folder).version
    monkeypatch.setattr("torch.load", None)
    assert f"ultrarm {holistic_version(f'ultrarm:{folder}')}" == version
    # The tokenizer decides scores too.
    byte_tokenizer(begin=False).save_pretrained(folder)
    assert f"ultrarm {holistic_version(f'ultrarm:{folder}')}" != version


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("ultrarn:x", r"unknown kind of holistic model 'ultrarn'. Did you mean 'ultrarm'\? Known: classifier, comet, "),
        ("some/model", r"unknown kind of holistic model 'some/model'.*write KIND:NAME_OR_PATH"),
        ("ultrarm", r"'ultrarm' names no checkpoint; write ultrarm:NAME_OR_PATH"),
        ("ultrarm:", r"names no checkpoint"),
        ("ultrarm:./no/such/folder", r"there is no folder \./no/such/folder; name one that holds config\.json"),
        ("classifier:/no/such/folder", r"there is no folder /no/such/folder"),
        ("classifier:no such model", r"no such model is neither a folder nor a model of the hub"),
    ],
)
def test_a_wrong_name_is_one_sentence(spec, problem):
    for asked in (check_holistic, load_holistic, holistic_version):
        arguments = (spec, ["wmt"]) if asked is check_holistic else (spec,)
        with pytest.raises(ValueError, match=problem) as caught:
            asked(*arguments)
        assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_kind_is_an_unknown_name():
    with pytest.raises(UnknownNameError):
        load_holistic("gpt:x")


def test_without_the_hub_a_model_must_be_cached(tmp_path):
    """In a process of its own: the hub's client reads its settings when it is imported."""
    code = (
        "from alarm.scorers.external import check_holistic\n"
        "for kind in ('ultrarm', 'classifier'):\n"
        "    try: check_holistic(f'{kind}:some/model', ['wmt'])\n"
        "    except ValueError as problem: print(problem)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.stdout.splitlines() == 2 * [
        "some/model is neither a folder nor in the hub's cache, and HF_HUB_OFFLINE is set; fetch it once with "
        "`hf download some/model`, or name a folder"
    ]


def test_a_cached_model_of_the_hub_needs_no_network(tmp_path):
    """The cache's own layout, as a download leaves it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--some--model"
    ultra_rm(cached / "snapshots" / commit, layout="safetensors")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    code = (
        "from alarm.scorers.external import load_holistic; scorer = load_holistic('ultrarm:some/model');"
        "print(scorer.version, scorer.score(['a'], ['b'])[0].value)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    version, value = ended.stdout.rsplit(maxsplit=1)
    assert version == "ultrarm some/model@0123456789ab"
    folder = ultra_rm(tmp_path / "folder", layout="safetensors")
    assert float(value) == pytest.approx(UltraRMScorer(folder).score(["a"], ["b"])[0].value, rel=1e-5)


def test_incomplete_folders_are_named_before_anything_loads(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model \(config\.json is missing\)"):
        check_holistic(f"ultrarm:{tmp_path}", [])
    folder = ultra_rm(tmp_path / "model")
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ValueError, match=r"lacks pytorch_model-00002-of-00002\.bin, which its .*index\.json lists"):
        check_holistic(f"ultrarm:{folder}", [])
    (folder / "pytorch_model.bin.index.json").unlink()
    with pytest.raises(ValueError, match=r"holds no weights \(none of model\.safetensors, "):
        check_holistic(f"ultrarm:{folder}", [])


def test_comet_judges_translations_only(tmp_path):
    """As far as can be told without loading; COMET's own tests load real checkpoints."""
    checkpoint = tmp_path / "checkpoints" / "model.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"weights")
    (tmp_path / "hparams.yaml").write_text("class_identifier: referenceless_regression_metric\n")
    check_holistic(f"comet:{checkpoint}", ["wmt"])
    assert holistic_version(f"comet:{tmp_path}") == holistic_version(f"comet:{checkpoint}")
    with pytest.raises(ValueError, match=r"judges wmt only, not long_form_qa; choose the task with --task"):
        check_holistic(f"comet:{checkpoint}", ["wmt", "long_form_qa"])
    (tmp_path / "hparams.yaml").unlink()
    with pytest.raises(ValueError, match=r"lacks hparams\.yaml"):
        check_holistic(f"comet:{checkpoint}", ["wmt"])
    assert needs_references("comet:x") and not needs_references("ultrarm:x")


def test_a_spec_names_a_repository_or_a_path(tmp_path):
    assert repository("ultrarm:openbmb/UltraRM-13b@abc") == ("openbmb/UltraRM-13b", "abc")
    assert repository("ultrarm:openbmb/UltraRM-13b") == ("openbmb/UltraRM-13b", None)
    (tmp_path / "a@b").mkdir()
    assert repository(f"classifier:{tmp_path}/a@b") == (f"{tmp_path}/a@b", None)
    assert (token_limit(1224), token_limit(256)) == (1530, 320)


def test_every_kind_says_what_it_is():
    assert list(KINDS) == ["ultrarm", "classifier", "comet"]
    assert all(kind.description for kind in KINDS.values())
