"""What scale `paper` needs is said before anything is started: everything that is missing at once, a sentence each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alarm.__main__ import main
from alarm.experiment.downloads import HubModel, QAFeedback, downloads, model_files
from alarm.experiment.requirements import missing
from alarm.experiment.session import Session
from alarm.paper_presets import LONG_FORM_QA, WMT
from alarm.scorers.forms import FORMS
from alarm.scorers.longformer import FOLDERS
from alarm.store import Store
from alarm.tasks.qa_feedback_files import RECORDS, STORED, STORED_INPUTS
from tests import tiny_models
from tests.feedback_folders import qa_feedback
from tests.hub_models import longformer, ultra_rm

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Everything that long-form QA at scale `paper` reads, small and on disk."""
    folder = tmp_path_factory.mktemp("models")
    tiny_models.tokenizer().save_pretrained(tiny_models.checkpoint(folder / "t5", "t5"))
    ultra_rm(folder / "ultra_rm")
    for kind, name in FOLDERS.items():
        longformer(folder / "aspects" / name, labels=FORMS[kind].labels or None)
    longformer(folder / "longformer", labels=None)
    qa_feedback(folder / "data" / "qa_feedback")
    return folder


@pytest.fixture
def session(models, tmp_path):
    """A function from changes to a session at scale `paper` that lacks nothing without them."""

    def make(**changes):
        options = {
            "tasks": ("long_form_qa",),
            "data": models / "data",
            "policy": str(models / "t5"),
            "holistic_model": f"ultrarm:{models / 'ultra_rm'}",
            "aspect_models": str(models / "aspects"),
            "sentence_splitter": "rules",
        }
        chosen = {name: value for name, value in {**options, **changes}.items() if value is not None}
        return Session(scale="paper", results=tmp_path / "results", store=tmp_path / "store", **chosen)

    return make


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_machine_with_everything_is_not_refused(session, tmp_path):
    assert [spec.method for spec in session(seeds=(42,)).specs][-1] == "alarm_as_released"
    assert (tmp_path / "store").is_dir()


def test_all_that_is_missing_is_said_at_once_before_anything_is_made(session, hub, models, tmp_path):
    lacking = dict.fromkeys(("data", "policy", "holistic_model", "aspect_models", "sentence_splitter"))
    with pytest.raises(ValueError, match="nothing has been started") as caught:
        session(**lacking)
    first, *lines = str(caught.value).splitlines()
    assert first == "a run cannot work on this machine, and nothing has been started:"
    names = ("t5-large (policy)", "openbmb/UltraRM-13b (", "allenai/longformer-base-4096 (", "allenai/FineGrainedRLHF")
    assert [line.startswith(f"- {name}") for line, name in zip(lines, names, strict=False)] == [True] * 4
    assert "--data" in lines[3] and not (tmp_path / "store").exists()


@pytest.mark.parametrize("command", ["run", "train-reward-models"])
def test_the_commands_that_train_say_it_too(command, models, hub, tmp_path, capsys):
    options = ["--scale", "paper", "--task", "long_form_qa", "--store", str(tmp_path / "store")]
    options += ["--results", str(tmp_path), "--policy", str(tmp_path / "absent"), "--sentence-splitter", "rules"]
    assert main([command, *options, *(["--method", "alarm"] if command == "run" else [])]) == 2
    said = capsys.readouterr().err
    assert f"there is no folder {tmp_path / 'absent'}" in said and "allenai/longformer-base-4096 (start" in said
    assert not (tmp_path / "store").exists()


def test_who_only_reads_is_not_asked_for_what_training_needs(hub, tmp_path):
    common = {"scale": "paper", "results": tmp_path, "store": tmp_path / "store"}
    assert Session(trains=False, tasks=("wmt",), **common).tasks == ["wmt"]
    worker = {"token": "a worker's", "tasks": ("long_form_qa",), "sentence_splitter": "rules"}
    assert Session(**common, **worker, holistic_model="trained").specs


def test_small_scales_are_not_asked_unless_they_name_a_checkpoint(tmp_path, hub, monkeypatch):
    common = {"scale": "tiny", "results": tmp_path, "store": tmp_path / "store", "tasks": ("wmt",)}
    with monkeypatch.context() as patch:
        patch.setattr("alarm.experiment.requirements.missing", lambda *_, **__: 1 / 0)
        assert Session(**common).specs
    with pytest.raises(ValueError, match=r"- some/policy \(policy\) is neither on this machine nor"):
        Session(**common, policy="some/policy")


def test_what_needs_too_much_memory_is_a_warning(session, monkeypatch):
    monkeypatch.setattr("alarm.experiment.requirements.device_memory", lambda device: 1)
    with pytest.warns(UserWarning, match=r"the models need about .* GiB and cpu has 0\.0 GiB"):
        session()


def test_a_model_is_at_hand_with_its_weights_only(hub):
    model = HubModel("policy", "some/model", None)
    commit = hub / "models--some--model" / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    assert not model.at_hand
    ultra_rm(commit)
    (hub / "models--some--model" / "refs").mkdir()
    (hub / "models--some--model" / "refs" / "main").write_text(commit.name)
    assert model.at_hand
    (commit / "pytorch_model-00002-of-00002.bin").unlink()
    assert not model.at_hand


def test_fetched_data_is_at_hand_in_the_store(tmp_path):
    (found,) = [d for d in downloads(LONG_FORM_QA, data=None, store=tmp_path) if isinstance(d, QAFeedback)]
    assert not found.at_hand
    Store(tmp_path).get(STORED, STORED_INPUTS, lambda path: (path / "train.json").write_text("[]"))
    assert found.at_hand
    assert not any(isinstance(d, QAFeedback) for d in downloads(LONG_FORM_QA, data=tmp_path, store=tmp_path))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: shutil.rmtree(folder / "rel_rm"), r"has no folder rel_rm or relevance"),
        (lambda folder: (folder / "rel_rm" / "pytorch_model.bin").unlink(), r"rel_rm holds no weights"),
        (lambda folder: (folder / "rel_rm" / "config.json").write_text("{"), r"rel_rm has a config\.json that cannot"),
        (
            lambda folder: longformer(folder / "rel_rm", labels=FORMS["factuality"].labels),
            r"rel_rm has the labels F-ERR, Ignore, O, but a relevance model has Ignore, NF-ERR, O",
        ),
        (
            lambda folder: tiny_models.checkpoint(folder / "rel_rm", "bert"),
            r"rel_rm is a bert model, not a longformer",
        ),
    ],
)
def test_a_folder_of_aspect_models_is_looked_through(models, tmp_path, damage, problem):
    folder = shutil.copytree(models / "aspects", tmp_path / "aspects")
    chosen = replace(LONG_FORM_QA.reward_models, aspect_models=str(folder), sentence_splitter="rules")
    common = {"data": models / "data", "device": "cpu", "store": tmp_path}
    asked = replace(
        LONG_FORM_QA,
        policy=replace(LONG_FORM_QA.policy, checkpoint=str(models / "t5")),
        reward_models=replace(chosen, holistic_model=f"ultrarm:{models / 'ultra_rm'}"),
    )
    assert not list(missing(asked, **common))
    damage(folder)
    (line,) = missing(asked, **common)
    assert re.search(problem, line)


def test_weights_count_in_one_format():
    t5 = ["README.md", "config.json", "flax_model.msgpack", "model.safetensors", "onnx/model.onnx", "pytorch_model.bin"]
    assert model_files([*t5, "spiece.model", "tokenizer.json"]) == [
        "model.safetensors",
        "config.json",
        "spiece.model",
        "tokenizer.json",
    ]
    parts = [f"pytorch_model-0000{i}-of-00003.bin" for i in (1, 2, 3)]
    assert model_files(["config.json", *parts, "pytorch_model.bin.index.json", "training_args.bin"]) == [
        "pytorch_model.bin.index.json",
        *parts,
        "config.json",
    ]


COMMIT = "c0ffee" * 6
SIZES = {
    "/api/models/google/mt5-base": {"config.json": 10**7, "pytorch_model.bin": 2 * 10**9, "tf_model.h5": 10**10},
    "/api/datasets/Helsinki-NLP/europarl": {"en-es/train.parquet": 4 * 10**8, "de-en/train.parquet": 10**9},
}


class Handler(BaseHTTPRequestHandler):
    """The hub's answers on two repositories, and QA-Feedback's files by their length."""

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()

    def do_GET(self):
        path = self.path.split("?")[0].split("/revision/")[0]
        if path not in SIZES:
            self.send_error(404)
            return
        files = [{"rfilename": name, "size": size} for name, size in SIZES[path].items()]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"id": path[12:], "sha": COMMIT, "siblings": files}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_hub_is_asked_for_commits_and_for_the_sizes_of_what_is_read(address, tmp_path):
    code = (
        "from pathlib import Path; from alarm.experiment.downloads import downloads\n"
        "from alarm.paper_presets import WMT\n"
        "for download in downloads(WMT, data=None, store=Path('none')): print(download.name, download.look_up())"
    )
    environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ended.stdout.splitlines() == [
        f"google/mt5-base Found(commit='{COMMIT}', gigabytes=2.01)",
        "openbmb/UltraRM-13b None",
        f"Helsinki-NLP/europarl Found(commit='{COMMIT}', gigabytes=0.4)",
        "LanguageTool None",
    ], ended.stderr


def test_qa_feedbacks_files_are_asked_for_without_fetching_them(address, tmp_path, monkeypatch):
    monkeypatch.setattr("alarm.experiment.downloads.ADDRESS", address)
    found = QAFeedback("QA-Feedback", "files", None, tmp_path).ask()
    assert found.gigabytes == pytest.approx(len(RECORDS) / 1000)


def test_nobody_is_asked_where_there_is_no_network(address, tmp_path, monkeypatch):
    monkeypatch.setattr("alarm.experiment.downloads.ADDRESS", address)
    assert QAFeedback("QA-Feedback", "files", None, tmp_path).look_up() is None
    assert all(download.look_up() is None for download in downloads(WMT, data=None, store=tmp_path))
