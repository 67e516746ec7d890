"""`python -m alarm run`: in one process the record of the benchmarks; in two the same numbers, a death survived."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from alarm import presets
from alarm.__main__ import main
from alarm.commands.run import GO_ON
from alarm.experiment.lab import Lab
from alarm.experiment.matrix import RunSpec
from alarm.experiment.run import CHECKPOINT, STATE, Run
from alarm.files import read_json
from alarm.ppo.policy import Policy
from alarm.records import RunRecord, generations_of, read_records, records_folder
from alarm.settings import PolicySettings
from tests.distributed_alarm import steady
from tests.launching import launch
from tests.micro import ITERATIONS, micro_lab, micro_preset
from tests.test_experiment import outcome, without_runs

WORKER = "tests.distributed_alarm"
WMT = RunSpec("wmt", "alarm", 1)
QA = RunSpec("long_form_qa", "meta_rm", 2)  # a seed whose samples have no token that rounding turns


def arguments(spec: RunSpec, store: Path, results: Path) -> list[str]:
    options = {
        "--task": spec.task,
        "--method": spec.method,
        "--seed": spec.seed,
        "--store": store,
        "--results": results,
    }
    return ["run", *(str(word) for option in options.items() for word in option)]


def record_in(results: Path) -> RunRecord:
    (record,) = read_records(records_folder(results, "tiny"))
    return record


def steady_lab(task: str, store: Path) -> Lab:
    """A micro lab with the settings of the launched worker."""
    return micro_lab(task, store, ppo=steady(task).ppo)


def assert_same_run(found: RunRecord, expected: RunRecord) -> None:
    """Equal but for rounding: every number of the history, and the very same texts.

    Not what is measured on further samples, in which rounding has turned a token before.
    """
    assert (found.error, len(found.history)) == (None, ITERATIONS)
    for row, wanted in zip(found.history, expected.history, strict=True):
        assert row.keys() == wanted.keys()
        for name in row.keys() - {"seconds_update", "current_spread", "current_accuracy", "current_pairs"}:
            same = (
                row[name] is None
                if wanted[name] is None
                else row[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-4)
            )
            assert same, (name, row["iteration"], row[name], wanted[name])
    assert [g.response for g in generations_of(found)] == [g.response for g in generations_of(expected)]
    assert found.metrics["test"] == pytest.approx(expected.metrics["test"], rel=1e-4)


def test_one_process_gives_the_record_of_the_benchmarks(labs, micro_store, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(presets.PRESETS, ("tiny", "wmt"), micro_preset("wmt"))
    expected = Run(labs("wmt"), WMT).record()
    store, results = without_runs(micro_store, tmp_path / "store"), tmp_path / "results"
    assert main(arguments(WMT, store, results)) == 0
    found = record_in(results)
    assert outcome(found) == outcome(expected)
    assert found.environment == expected.environment and "processes" not in found.environment
    printed = capsys.readouterr()
    assert printed.out.strip() == str(found.path)
    assert f"wmt alarm seed 1: step {ITERATIONS}/{ITERATIONS}, reward" in printed.err
    names = {path.name for path in (results / "tiny" / "records" / "wmt").iterdir()}
    assert {"setup.json", "selection.json", "sft.generations.jsonl", "alarm"} <= names


def test_preparing_builds_all_but_the_run(labs, micro_store, tmp_path, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, ("tiny", "wmt"), micro_preset("wmt"))
    Run(labs("wmt"), WMT).record()
    store, results = without_runs(micro_store, tmp_path / "store"), tmp_path / "results"
    shutil.rmtree(store / "sft_test")
    assert main([*arguments(WMT, store, results), "--prepare"]) == 0
    assert (store / "sft_test").is_dir() and not (store / "run").exists()
    assert (results / "tiny/records/wmt/setup.json").is_file() and not (results / "tiny/records/wmt/alarm").exists()


@pytest.fixture(scope="module")
def killed(labs, micro_store, tmp_path_factory):
    """A run that lost its second process as the third iteration began: its folder, and the launcher's outcome."""
    folder = tmp_path_factory.mktemp("killed")
    Run(labs("wmt"), WMT).prepare()
    store = without_runs(micro_store, folder / "store")
    return folder, launch(WORKER, *arguments(WMT, store, folder / "results"), ALARM_TEST_DIE="1:2")


@pytest.fixture(scope="module")
def unbroken(labs, micro_store, tmp_path_factory) -> RunRecord:
    """The same run in one process."""
    Run(labs("wmt"), WMT).prepare()
    store = without_runs(micro_store, tmp_path_factory.mktemp("unbroken") / "store")
    return Run(steady_lab("wmt", store), WMT).record()


def kept_history(store: Path) -> list[dict]:
    """The history in the checkpoint of the store's only run."""
    (partial,) = (store / "run").glob("*.partial")
    return read_json(partial / CHECKPOINT / STATE)["history"]


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_a_clear_error(killed):
    folder, died = killed
    assert died.returncode != 0 and "SIGKILL" in died.stderr
    assert GO_ON in died.stderr, died.stderr
    assert not (folder / "results" / "tiny" / "records" / "wmt" / "alarm").exists()
    assert len(kept_history(folder / "store")) == 2


@pytest.mark.slow
def test_one_process_goes_on_where_two_were_killed(killed, unbroken, tmp_path):
    store = Path(shutil.copytree(killed[0] / "store", tmp_path / "store"))
    kept = kept_history(store)
    resumed = Run(steady_lab("wmt", store), WMT).record()
    assert_same_run(resumed, unbroken)
    assert resumed.history[:2] == kept, "it must go on from its checkpoint, not from the start"


@pytest.mark.slow
def test_two_processes_go_on_where_two_were_killed(killed, unbroken, tmp_path):
    store, results = Path(shutil.copytree(killed[0] / "store", tmp_path / "store")), tmp_path / "results"
    kept = kept_history(store)
    launched = launch(WORKER, *arguments(WMT, store, results))
    assert launched.returncode == 0, launched.stderr
    resumed = record_in(results)
    assert_same_run(resumed, unbroken)
    assert resumed.history[:2] == kept, "it must go on from its checkpoint, not from the start"
    assert resumed.environment["processes"] == 2 and resumed.environment["hardware"].endswith(", 2 processes")


@pytest.mark.slow
def test_a_sharded_run_with_a_reward_model_that_changes_is_that_of_one_process(labs, micro_store, tmp_path):
    Run(labs("long_form_qa"), QA).prepare()
    store, results = without_runs(micro_store, tmp_path / "store"), tmp_path / "results"
    alone = Run(steady_lab("long_form_qa", without_runs(store, tmp_path / "alone")), QA)
    launched = launch(WORKER, *arguments(QA, store, results), engine="fsdp")
    assert launched.returncode == 0, launched.stderr
    assert_same_run(record_in(results), alone.record())
    (folder,) = (store / "run").glob("*/policy")
    policies = [Policy.load(path, PolicySettings()) for path in (folder, alone.policy_directory())]
    weights = [dict(policy.state_dict()) for policy in policies]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])
