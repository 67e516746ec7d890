"""COMET as a scorer: its own scores, whatever the order and the batch, from local files alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alarm.scorers.base import Placement
from alarm.scorers.comet import DIGITS, CometScorer, comet_scores, find_checkpoint, load_comet
from tests.comet_models import generated_rows, human_rows, train_comet

PREFIX = "translate: "
STEP = 1.5 * 10**-DIGITS
"""Two roundings of one score differ by at most one in the last digit, whatever the padding."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return generated_rows(tmp_path_factory.mktemp("world") / "held_out", 60, seed=9)


@pytest.fixture(scope="module", params=["reference", "referenceless"])
def checkpoint(request, tmp_path_factory) -> Path:
    """A small model trained on generated pairs; with a network anywhere in reach it would not be a test of offline."""
    folder = tmp_path_factory.mktemp("comet")
    training = generated_rows(folder / "world", 300, seed=5)
    return train_comet(folder / request.param, training, referenceless=request.param == "referenceless")


@pytest.fixture(scope="module")
def scorer(checkpoint, rows) -> CometScorer:
    return CometScorer(checkpoint, references={PREFIX + row["src"]: row["ref"] for row in rows}, prefix=PREFIX)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments):
        raise AssertionError(f"a connection to {arguments[1:]} was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def values(scorer: CometScorer, rows) -> list[float]:
    return [s.value for s in scorer.score([PREFIX + row["src"] for row in rows], [row["mt"] for row in rows])]


def inputs(rows) -> list[dict[str, str]]:
    return [{name: row[name] for name in ("src", "mt", "ref")} for row in rows]


def assert_order_and_batch_change_nothing(model, rows) -> None:
    expected = comet_scores(model, rows, batch_size=32)
    assert np.std(expected) > 0.01, "the model tells translations apart"
    order = np.random.default_rng(0).permutation(len(rows))
    permuted = comet_scores(model, [rows[i] for i in order], batch_size=32)
    assert permuted == [expected[i] for i in order]
    for batch_size in (1, 7, len(rows)):
        assert np.abs(np.subtract(comet_scores(model, rows, batch_size=batch_size), expected)).max() < STEP
    alone = comet_scores(model, rows[:1])
    assert alone == pytest.approx(expected[:1], abs=STEP)


def test_scores_are_comets_own(checkpoint, scorer, rows):
    predicted = load_comet(checkpoint).predict(inputs(rows), batch_size=16, gpus=0, progress_bar=False).scores
    assert values(scorer, rows) == pytest.approx(predicted, abs=STEP)


def test_order_and_batch_size_change_no_score(checkpoint, rows):
    assert_order_and_batch_change_nothing(load_comet(checkpoint), inputs(rows))


def test_equal_pairs_have_equal_scores_in_any_company(scorer, rows):
    """Else the last digits would turn a tie between two runs' equal translations into a win."""
    twice = values(scorer, [*rows[:20], *rows])
    assert twice[:20] == twice[20:40]


def test_scores_follow_quality(scorer, rows):
    scores, quality = values(scorer, rows), [row["score"] for row in rows]
    assert np.corrcoef(scores, quality)[0, 1] > (0.6 if scorer.references else 0.2)


def test_a_reference_counts_where_the_model_reads_it(checkpoint, scorer, rows):
    swapped = {PREFIX + row["src"]: "Nothing of the kind." for row in rows}
    other = CometScorer(checkpoint, references=swapped, prefix=PREFIX)
    assert (values(other, rows) == values(scorer, rows)) == (scorer.references is None)


def test_it_is_a_holistic_scorer(scorer):
    assert (scorer.name, scorer.placement) == ("holistic", Placement.LAST)
    assert scorer.higher_is_better and scorer.normalize
    assert scorer.score([], []) == []
    assert np.isfinite(scorer.score([next(iter(scorer.references or {f"{PREFIX}Ein Hund."}))], [""])[0].value)


def test_prompts_that_do_not_fit_are_named(checkpoint, scorer, rows):
    with pytest.raises(ValueError, match="1 prompts but 2 responses"):
        scorer.score(["a"], ["b", "c"])
    with pytest.raises(ValueError, match=r"'Ein Hund' does not begin with 'translate: '"):
        scorer.score(["Ein Hund"], ["A dog"])
    if scorer.references is not None:
        with pytest.raises(ValueError, match="no reference for the prompt 'translate: Ein Hund'"):
            scorer.score([f"{PREFIX}Ein Hund"], ["A dog"])
        with pytest.raises(ValueError, match=r"compares with reference translations and there are none; .*kiwi"):
            CometScorer(checkpoint)
    else:
        assert CometScorer(checkpoint).score(["Ein Hund"], ["A dog"])


def test_a_model_is_found_by_file_and_by_folder(checkpoint):
    file = checkpoint / "checkpoints" / "model.ckpt"
    assert find_checkpoint(file) == find_checkpoint(checkpoint) == find_checkpoint(checkpoint / "checkpoints") == file


def test_loading_and_scoring_need_no_network_and_say_nothing(checkpoint, rows, no_network, capfd):
    comet_scores(load_comet(checkpoint), inputs(rows))
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_the_version_is_that_of_the_weights(checkpoint, scorer, tmp_path):
    import torch

    moved = tmp_path / "moved"
    (moved / "checkpoints").mkdir(parents=True)
    (moved / "hparams.yaml").write_bytes((checkpoint / "hparams.yaml").read_bytes())
    file = moved / "checkpoints" / "model.ckpt"
    state = torch.load(checkpoint / "checkpoints" / "model.ckpt", weights_only=False)
    torch.save(state, file)
    references = scorer.references
    same = CometScorer(checkpoint, references=references, prefix=PREFIX)
    assert same.version == scorer.version
    assert type(scorer.model).__name__ in scorer.version
    state["state_dict"]["estimator.ff.0.bias"] += 1
    torch.save(state, file)
    assert CometScorer(moved, references=references).version != scorer.version


# What cannot be loaded is one sentence.


def test_a_name_is_refused_offline_and_a_folder_without_a_model_anywhere(tmp_path, no_network):
    with pytest.raises(ValueError, match=r"no file Unbabel/wmt22-comet-da, and HF_HUB_OFFLINE forbids to fetch"):
        CometScorer("Unbabel/wmt22-comet-da")
    with pytest.raises(ValueError, match=rf"folder {tmp_path} holds no COMET model; checkpoints/model.ckpt is missing"):
        CometScorer(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.ckpt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"model.ckpt lacks hparams.yaml in the folder above"):
        CometScorer(tmp_path)
    (tmp_path / "hparams.yaml").write_text("class_identifier: regression_metric\n")
    with pytest.raises(
        ValueError, match=r"model.ckpt cannot be read \(.*\); it is damaged, or its encoder's"
    ) as raised:
        CometScorer(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (None, "import of comet halted; None in sys.modules"),
        ("import pkg_resources_that_is_gone", "No module named 'pkg_resources_that_is_gone'"),
        ("raise AttributeError('np.float_ was removed')", "np.float_ was removed"),
        ("", "cannot import name 'load_from_checkpoint'"),
    ],
    ids=["absent", "dependency missing", "dependency broken", "another package"],
)
def test_a_failed_import_is_one_sentence_with_the_remedy(tmp_path, monkeypatch, source, problem):
    for name in [name for name in sys.modules if name.partition(".")[0] == "comet"]:
        monkeypatch.delitem(sys.modules, name)
    if source is None:
        monkeypatch.setitem(sys.modules, "comet", None)
    else:
        package = tmp_path / "packages" / "comet"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(package.parent)
    model = tmp_path / "checkpoints" / "model.ckpt"
    model.parent.mkdir()
    model.touch()
    (tmp_path / "hparams.yaml").touch()
    with pytest.raises(ValueError, match=r"COMET cannot be imported \(.*\); install it: pip install") as raised:
        CometScorer(model)
    assert problem in str(raised.value) and "\n" not in str(raised.value)
    sys.modules.pop("comet", None)


def test_comet_is_imported_only_when_asked_for_and_leaves_the_root_logger_alone():
    code = """
import logging, sys, alarm, alarm.commands
from alarm.scorers.comet import find_checkpoint, quiet
root = logging.getLogger()
print("comet" in sys.modules, root.level, root.handlers)
with quiet():
    import comet
print("comet" in sys.modules, root.level, root.handlers)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[:2] == ["False 30 []", "True 30 []"]
    assert ended.stderr == ""


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_model_of_human_scores_is_as_steady(shared_data, tmp_path):
    rows = human_rows(shared_data / "wmt22_deen", 300)
    model = load_comet(train_comet(tmp_path, rows, epochs=2))
    assert_order_and_batch_change_nothing(model, inputs(rows[:60]))
