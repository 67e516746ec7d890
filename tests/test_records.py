"""Records: round trips, atomic writes, and clear errors for damaged or foreign files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarm.environment import environment
from alarm.files import sha256_of, write_atomically
from alarm.records import (
    Generation,
    PoolRecord,
    PromptRow,
    RecordError,
    RunRecord,
    SelectionRecord,
    SetupRecord,
    generations_of,
    pool_path,
    prompts_path,
    read_generations,
    read_pool,
    read_prompts,
    read_record,
    read_records,
    read_selection,
    read_setup,
    record_path,
    samples_of,
    sft_samples_path,
    write_generations,
    write_pool,
    write_prompts,
    write_record,
    write_selection,
    write_setup,
)


def record(**changes) -> RunRecord:
    values = {
        "task": "wmt",
        "method": "alarm",
        "aspect": "grammar",
        "recipe": "plain",
        "scale": "tiny",
        "seed": 1,
        "settings": {"ppo": {"iterations": 2}},
        "environment": {"versions": {"torch": "2.13"}, "device": "cpu", "hardware": "CPU: X, 1 thread"},
        "data_fingerprint": "abc",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "durations": {"total": 60.0},
        "history": [{"iteration": 0, "reward": 0.5, "gold": None}],
        "metrics": {"test": {"gold": 0.5}, "sft": {"gold": 0.4}, "corpus": {"bleu": {"value": 30.0}}},
        "directions": {"gold": True},
        "score_labels": {"gold": "gold quality"},
    }
    return RunRecord(**{**values, **changes})


GENERATIONS = [Generation("a", "A dog.", 3, {"gold": 0.5}), Generation("b", "", 1, {"gold": math.nan})]


def test_a_run_record_survives_a_round_trip(tmp_path):
    written = record()
    path = write_record(tmp_path, written, GENERATIONS)
    assert path == record_path(tmp_path, "tiny", "wmt", "alarm", 1) == tmp_path / "tiny/records/wmt/alarm/seed1.json"
    read = read_record(path)
    assert read.generations == {**read.generations, "file": "seed1.generations.jsonl", "examples": 2}
    assert {**vars(read), "generations": None, "path": None} == vars(written)
    assert [g.id for g in generations_of(read)] == ["a", "b"]
    assert not [p for p in path.parent.iterdir() if p.suffix == ".tmp"]


SAMPLES = [Generation("a", "A cat.", 3, {"gold": 0.25}, {}, "hasty"), Generation("b", "Two.", 2, {"gold": 1.0})]


def test_sampled_responses_lie_beside_the_greedy_ones(tmp_path):
    read = read_record(write_record(tmp_path, record(), GENERATIONS, SAMPLES))
    file = read.path.with_name("seed1.samples.jsonl")
    assert read.samples == {"file": file.name, "sha256": sha256_of(file), "examples": 2}
    assert samples_of(read) == SAMPLES == read_generations(file)
    assert [g.response for g in generations_of(read)] == ["A dog.", ""]


def test_sampled_responses_of_another_run_are_noticed(tmp_path):
    path = write_record(tmp_path, record(), GENERATIONS, SAMPLES)
    write_generations(path.with_name("seed1.samples.jsonl"), SAMPLES[:1])
    with pytest.raises(RecordError, match=r"seed1\.samples\.jsonl does not belong to seed1\.json"):
        samples_of(read_record(path))
    assert len(generations_of(read_record(path))) == 2, "the greedy ones are still its own"


def test_a_record_of_before_samples_is_still_read(tmp_path):
    path = write_record(tmp_path, record(), GENERATIONS)
    values = json.loads(path.read_text())
    assert values.pop("samples") is None
    path.write_text(json.dumps(values))
    read = read_record(path)
    assert read.samples is None and len(generations_of(read)) == 2
    with pytest.raises(RecordError, match="the record of wmt alarm seed 1 has no samples"):
        samples_of(read)
    del values["generations"]
    path.write_text(json.dumps(values))
    with pytest.raises(RecordError, match="lacks generations"):
        read_record(path)


def test_a_response_of_before_habits_has_none(tmp_path):
    path = write_generations(tmp_path / "g.jsonl", SAMPLES)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.pop("habit") for line in lines] == ["hasty", ""]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [g.habit for g in read_generations(path)] == ["", ""]


POOL = PoolRecord(
    task="wmt",
    scale="tiny",
    samples=2,
    scores={"gold": [[0.5, 1.0], [0.0, 0.25]], "holistic": [[-1.5, 2.0], [0.1, 0.3]]},
    habits=[["hasty", "careful"], ["other", "hasty"]],
    demonstrators=[{"name": "hasty", "share": 0.75, "description": "short"}],
    held_out={"pairs": 12, "accuracy": 75.0},
    score_labels={"gold": "gold quality"},
    directions={"gold": True},
    environment={"device": "cpu"},
)


def test_a_pool_survives_a_round_trip(tmp_path):
    path = write_pool(tmp_path, POOL)
    assert path == pool_path(tmp_path, "tiny", "wmt") == tmp_path / "tiny/records/wmt/sft_pool.json"
    assert read_pool(path) == POOL
    assert json.loads(path.read_text())["kind"] == "sft_pool"


def test_a_pool_that_lacks_something_is_refused(tmp_path):
    path = write_pool(tmp_path, POOL)
    values = json.loads(path.read_text())
    del values["held_out"]
    path.write_text(json.dumps(values))
    with pytest.raises(RecordError, match=r"sft_pool\.json lacks held_out"):
        read_pool(path)
    write_setup(tmp_path, SetupRecord("wmt", "tiny", {}, {})).replace(path)
    with pytest.raises(RecordError, match=r"sft_pool\.json is no sft_pool record"):
        read_pool(path)


def test_the_run_name_carries_a_given_aspect_only():
    assert record().run_name == "alarm"
    assert record(aspect_given=True).run_name == "alarm+grammar"


def test_hardware_kinds_are_told_apart():
    assert record().hardware_kind == "cpu"
    assert record(environment={"device": "cuda:0", "hardware": "GPU: H200"}).hardware_kind == "gpu"


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        ),
        max_size=5,
    )
)
def test_generations_survive_a_round_trip_exactly(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("g") / "g.jsonl"
    generations = [Generation(str(i), text, i, scores) for i, (text, scores) in enumerate(rows)]
    assert read_generations(write_generations(path, generations)) == generations


def test_line_ends_of_unicode_stay_inside_a_response(tmp_path):
    generations = [Generation("a", "one\u2028two\x85three\nfour", 3, {})]
    assert read_generations(write_generations(tmp_path / "g.jsonl", generations)) == generations


def test_nan_is_written_as_null_and_read_as_nan(tmp_path):
    path = write_generations(tmp_path / "g.jsonl", GENERATIONS)
    assert json.loads(path.read_text().splitlines()[1])["scores"] == {"gold": None}
    assert math.isnan(read_generations(path)[1].scores["gold"])


def test_equal_ids_are_refused(tmp_path):
    with pytest.raises(ValueError, match="same id"):
        write_generations(tmp_path / "g.jsonl", [GENERATIONS[0], GENERATIONS[0]])


def test_records_are_read_in_order_and_other_documents_left_out(tmp_path):
    for seed in (2, 1):
        write_record(tmp_path, record(seed=seed), GENERATIONS)
    write_record(tmp_path, record(aspect="length", aspect_given=True), GENERATIONS)
    write_selection(tmp_path, SelectionRecord("wmt", "tiny", "grammar", {}, {}, None, 3, "dev", {}, {}))
    write_setup(tmp_path, SetupRecord("wmt", "tiny", {"sft": {"gold": 0.4}}, {}))
    write_pool(tmp_path, POOL)
    write_generations(sft_samples_path(tmp_path, "tiny", "wmt"), SAMPLES)
    records = read_records(tmp_path / "tiny" / "records")
    assert [(r.run_name, r.seed) for r in records] == [("alarm", 1), ("alarm", 2), ("alarm+length", 1)]
    folder = tmp_path / "tiny/records/wmt"
    assert read_selection(folder / "selection.json").selected == "grammar"
    assert read_setup(folder / "setup.json").facts == {"sft": {"gold": 0.4}}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text[:40], "cannot be read"),
        (lambda text: "[]", "no run record"),
        (lambda text: '{"model": "x"}', "no run record"),
        (lambda text: text.replace('"schema": 1', '"schema": 99'), "has record schema 99, this version reads 1"),
        (lambda text: text.replace('"seed": 1', '"sead": 1'), "lacks seed"),
        (lambda text: text.replace('"seed": 1', '"seed": 1, "colour": 2'), "unknown colour"),
    ],
)
def test_an_unreadable_or_foreign_record_names_file_and_remedy(tmp_path, edit, message):
    path = write_record(tmp_path, record(), GENERATIONS)
    path.write_text(edit(path.read_text()))
    with pytest.raises(RecordError, match=message) as caught:
        read_records(tmp_path / "tiny" / "records")
    assert str(path) in str(caught.value) and ("delete" in str(caught.value) or "move" in str(caught.value))


def test_a_record_in_the_wrong_place_is_refused(tmp_path):
    path = write_record(tmp_path, record(), GENERATIONS)
    path.rename(path.with_name("seed2.json"))
    with pytest.raises(RecordError, match=r"says it is tiny/wmt/alarm/seed1\.json"):
        read_records(tmp_path / "tiny" / "records")


def test_no_records_says_what_to_run(tmp_path):
    with pytest.raises(RecordError, match="pytest benchmarks"):
        read_records(tmp_path / "none")


def test_generations_of_another_run_are_noticed(tmp_path):
    path = write_record(tmp_path, record(), GENERATIONS)
    file = path.parent / "seed1.generations.jsonl"
    write_generations(file, GENERATIONS[:1])
    with pytest.raises(RecordError, match="does not belong"):
        generations_of(read_record(path))
    file.unlink()
    with pytest.raises(RecordError, match="cannot be read"):
        generations_of(read_record(path))


def test_a_malformed_generation_names_its_line(tmp_path):
    path = write_generations(tmp_path / "g.jsonl", GENERATIONS)
    path.write_text(path.read_text() + '{"id": "c"}\n')
    with pytest.raises(RecordError, match="line 3"):
        read_generations(path)


def test_prompts_survive_a_round_trip_and_a_malformed_one_names_its_line(tmp_path):
    rows = [PromptRow("a", "Ein Hund.\u2028", "A dog.", {"source": "Ein Hund."}), PromptRow("b", "Zwei.", "Two.")]
    path = write_prompts(tmp_path, "tiny", "wmt", rows)
    assert path == prompts_path(tmp_path, "tiny", "wmt") and read_prompts(path) == rows
    with pytest.raises(ValueError, match="same id"):
        write_prompts(tmp_path, "tiny", "wmt", rows[:1] * 2)
    path.write_text(path.read_text() + '{"id": "c", "prompt": "Drei."}\n')
    with pytest.raises(RecordError, match=r"line 3 is not a prompt"):
        read_prompts(path)


def test_a_write_that_fails_leaves_the_earlier_record(tmp_path, monkeypatch):
    path = write_record(tmp_path, record(), GENERATIONS)
    before = path.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ValueError, match=r"seed1\.json cannot be written \(No space left.*free some space"):
        write_atomically(path, "{}")
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 2


def test_the_environment_is_complete_and_json():
    here = environment("cpu")
    assert json.loads(json.dumps(here)) == here
    assert here["versions"]["torch"] != "not installed" and here["hardware"].startswith("CPU: ")
    assert set(here) == {"python", "platform", "versions", "commit", "dirty", "device", "hardware"}
