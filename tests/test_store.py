"""The store: keys, one build per artifact, resumption, damage, --fresh and unwritable folders."""

from __future__ import annotations

import errno
import json
import multiprocessing
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.store import MANIFEST, DamagedArtifactWarning, MissingArtifactError, Store, artifact_key, canonical_json

INPUTS = {"task": "wmt", "seed": 1, "settings": {"learning_rate": 1e-3}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Builder:
    """Writes one file and counts its calls."""

    def __init__(self, text="weights", fail_at=None):
        self.text, self.fail_at, self.calls = text, fail_at, 0

    def __call__(self, folder):
        self.calls += 1
        if self.fail_at == self.calls:
            (folder / "checkpoint").write_text("half way")
            raise KeyboardInterrupt
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "weights.bin").write_text(self.text)


@given(json_values)
def test_canonical_json_keeps_the_value_and_its_key_survives_a_round_trip(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(max_size=3), json_values, min_size=2, max_size=4))
def test_the_key_ignores_the_order_of_fields(inputs):
    assert artifact_key("sft", inputs) == artifact_key("sft", dict(reversed(inputs.items())))


def test_the_key_depends_on_kind_and_every_value():
    keys = {artifact_key("sft", INPUTS), artifact_key("run", INPUTS), artifact_key("sft", {**INPUTS, "seed": 2})}
    assert len(keys) == 3


def test_dataclasses_count_as_their_fields():
    @dataclass(frozen=True)
    class Settings:
        steps: int = 3
        sizes: tuple[int, ...] = (1, 2)

    assert canonical_json({"a": Settings()}) == '{"a":{"sizes":[1,2],"steps":3}}'


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, {1: 2}])
def test_inputs_json_cannot_hold_are_refused(value):
    with pytest.raises(ValueError, match="inputs of a stored artifact"):
        canonical_json({"x": value})


def test_an_artifact_is_built_once_and_found_by_another_store(tmp_path):
    build = Builder()
    first = Store(tmp_path).get("sft", INPUTS, build)
    second = Store(tmp_path).get("sft", dict(reversed(INPUTS.items())), build)
    assert first == second and build.calls == 1
    assert (first / "model" / "weights.bin").read_text() == "weights"
    manifest = json.loads((first / MANIFEST).read_text())
    assert manifest["inputs"] == INPUTS and manifest["files"]["model/weights.bin"]["size"] == len("weights")
    assert Store(tmp_path).has("sft", INPUTS) and not Store(tmp_path).has("sft", {})


def test_an_interrupted_build_finds_what_it_left(tmp_path):
    build = Builder(fail_at=1)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).get("run", INPUTS, build)
    assert not Store(tmp_path).has("run", INPUTS)
    seen = []

    def resume(folder):
        seen.append((folder / "checkpoint").read_text())
        build(folder)

    path = Store(tmp_path).get("run", INPUTS, resume)
    assert seen == ["half way"] and path.is_dir()
    assert not list(path.parent.glob("*.partial"))


@pytest.mark.parametrize("damage", ["change", "shorten", "remove", "manifest", "foreign"])
def test_a_damaged_artifact_is_named_kept_aside_and_rebuilt(tmp_path, damage):
    path = Store(tmp_path).get("sft", INPUTS, Builder())
    file = path / "model" / "weights.bin"
    if damage == "change":
        file.write_text("Weights")
    elif damage == "shorten":
        file.write_text("weig")
    elif damage == "remove":
        file.unlink()
    elif damage == "manifest":
        (path / MANIFEST).write_text("{")
    else:
        manifest = json.loads((path / MANIFEST).read_text())
        (path / MANIFEST).write_text(json.dumps({**manifest, "inputs": {}}))
    build = Builder()
    with pytest.warns(DamagedArtifactWarning, match=path.name):
        assert Store(tmp_path).get("sft", INPUTS, build) == path
    assert build.calls == 1 and file.read_text() == "weights"
    assert len(list(path.parent.glob("*.damaged*"))) == 1


def test_fresh_rebuilds_once_per_invocation(tmp_path):
    Store(tmp_path).get("sft", INPUTS, Builder("old"))
    build = Builder("new")
    for _worker in range(2):
        path = Store(tmp_path, fresh_token="a").get("sft", INPUTS, build)
        assert (path / "model" / "weights.bin").read_text() == "new"
    assert build.calls == 1
    Store(tmp_path, fresh_token="b").get("sft", INPUTS, build)
    assert build.calls == 2
    Store(tmp_path).get("sft", INPUTS, build)
    assert build.calls == 2, "without --fresh, what a fresh invocation built is used"
    assert sorted(p.name for p in path.parent.iterdir() if p.is_dir()) == [path.name]


def test_fresh_does_not_resume_another_invocations_build_but_its_own(tmp_path):
    left_over = []

    def build(folder):
        left_over.append((folder / "checkpoint").exists())
        (folder / "checkpoint").write_text("x")
        if len(left_over) < 3:
            raise KeyboardInterrupt

    for token in (None, "a"):
        with pytest.raises(KeyboardInterrupt):
            Store(tmp_path, fresh_token=token).get("run", INPUTS, build)
    Store(tmp_path, fresh_token="a").get("run", INPUTS, build)
    assert left_over == [False, False, True]


def _slow_get(root, queue):
    def build(folder):
        time.sleep(0.3)
        (folder / "x").write_text("x")
        queue.put("built")

    Store(root).get("sft", INPUTS, build)
    queue.put("done")


def test_a_store_that_must_not_build_reads_what_is_there_and_names_what_is_not(tmp_path):
    reader, builder = Store(tmp_path, may_build=False), Builder()
    with pytest.raises(MissingArtifactError, match=rf"the store {tmp_path} has no whole sft of these settings"):
        reader.get("sft", INPUTS, builder)
    built = Store(tmp_path).get("sft", INPUTS, builder)
    assert reader.get("sft", INPUTS, builder) == built and builder.calls == 1
    (built / "model" / "weights.bin").write_text("x")
    with pytest.raises(MissingArtifactError):
        Store(tmp_path, may_build=False).get("sft", INPUTS, builder)
    assert built.is_dir() and builder.calls == 1


def test_two_processes_build_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_slow_get, args=(tmp_path, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    events = sorted(queue.get(timeout=30) for _ in range(3))
    for worker in workers:
        worker.join(timeout=30)
    assert events == ["built", "done", "done"] and queue.empty()


def test_a_folder_that_cannot_be_written_is_said_before_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"store folder .*file/store cannot be written.*--store"):
        Store(tmp_path / "file" / "store")


def test_a_full_disk_names_the_remedy_and_keeps_the_work(tmp_path):
    def build(folder):
        (folder / "checkpoint").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ValueError, match="free some space"):
        Store(tmp_path).get("run", INPUTS, build)
    assert len(list(tmp_path.glob("run/*.partial/checkpoint"))) == 1


def test_a_builder_that_writes_nothing_and_a_kind_that_is_a_path_are_refused(tmp_path):
    with pytest.raises(ValueError, match="left no file"):
        Store(tmp_path).get("sft", INPUTS, lambda folder: None)
    with pytest.raises(ValueError, match="plain name"):
        Store(tmp_path).get("../sft", INPUTS, Builder())
