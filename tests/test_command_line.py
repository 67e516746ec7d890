"""Wrong input on the command line: one sentence with the remedy, non-zero exit, nothing trained, records untouched."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from alarm.__main__ import main
from alarm.experiment.session import Session
from alarm.records import read_record
from tests.synthetic_runs import run, write_experiment, write_run

ROOT = Path(__file__).resolve().parents[1]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def benchmarks(results: Path, store: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    options = ("--results", results, "--store", store, "-p", "no:cacheprovider")
    return call("pytest", "benchmarks", *options, *arguments)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def results(tmp_path):
    """A results folder with one earlier record."""
    write_run(tmp_path / "results", run("wmt", "alarm", 1))
    return tmp_path / "results"


# Each option's check, without the cost of a process.


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"scale": "tinny"}, r"unknown scale 'tinny'. Did you mean 'tiny'"),
        ({"tasks": ("wnt",)}, r"unknown task 'wnt'. Did you mean 'wmt'\? Known: long_form_qa, wmt"),
        (
            {"methods": ("weighted",)},
            r"unknown method 'weighted'. Did you mean 'weighted_sum'\? Known: .*holistic_only",
        ),
        ({"aspects": ("gramar",)}, r"unknown aspect .*'gramar'. Did you mean 'grammar'"),
        ({"recipes": ("denoise",)}, r"unknown reward-model recipe 'denoise'. .*Known: .*soft_label_margin"),
        ({"sources": ("hh_harmles",)}, r"unknown source of comparisons at scale tiny 'hh_harmles'.*Known: .*wmt"),
        ({"sources": ("hh_harmless",)}, r"--source hh_harmless is real data: add --scale small and --data DIR"),
        ({"methods": ("alarm@swaf",)}, r"unknown reward-model recipe 'swaf'. Did you mean 'swav'"),
        ({"grid_seeds": -1}, r"grid seeds must be 0 or more"),
        ({"seeds": ()}, r"at least one seed is needed"),
        ({"device": "tpu9"}, r"unknown device 'tpu9'; use cpu, cuda or cuda:N"),
        ({"device": "meta"}, r"device 'meta' is not supported; use cpu"),
        ({"data": Path("here")}, r"--data is for scale small and above; scale tiny generates its own"),
        ({"scale": "small", "tasks": ("wmt",)}, r"scale small reads real data: name its folder with --data"),
        (
            {"scale": "small", "tasks": ("wmt",), "data": Path("no_such_folder")},
            r"--data no_such_folder: no such folder",
        ),
        ({"method_files": ("no_such_method.py",)}, r"the method file .*no_such_method\.py does not exist"),
        ({"quick": True, "full": True}, r"--quick takes a part of the runs and --full adds to them; give one"),
        ({"quick": True, "scale": "small"}, r"--quick is a first look at scale tiny; leave it out at scale small"),
        ({"quick": True, "scale": "paper"}, r"leave it out at scale paper"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_option_is_named_before_anything_is_made(results, tmp_path, options, problem):
    before = files(tmp_path)
    with pytest.raises(ValueError, match=problem):
        Session(**{"scale": "tiny", "results": results, "store": tmp_path / "store", **options})
    assert files(tmp_path) == before and not (tmp_path / "store").exists()


def test_cuda_without_a_gpu_is_refused_with_the_remedy(results, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"torch sees no CUDA device; .* or use --device cpu"):
        Session(scale="tiny", results=results, store=tmp_path / "store", device="cuda")


def test_folders_that_cannot_be_written_are_refused(results, tmp_path):
    """A path below a regular file: not even root can write there."""
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "folder"
    with pytest.raises(ValueError, match=r"the store folder .*file/folder cannot be written.*--store"):
        Session(scale="tiny", results=results, store=below)
    with pytest.raises(ValueError, match=r"--results .*file/folder: .*file is not a folder that can be written"):
        Session(scale="tiny", results=below, store=tmp_path / "store")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a file system that root cannot write to either")
def test_results_where_not_even_root_can_write_are_refused():
    with pytest.raises(ValueError, match="/proc is not a folder that can be written"):
        Session(scale="tiny", results=Path("/proc/results"))


@pytest.mark.parametrize(
    ("options", "runs", "sources", "pools"),
    [
        ({}, True, [], ["long_form_qa", "wmt"]),
        ({"tasks": ("wmt",)}, True, [], ["wmt"]),
        ({"full": True}, True, ["long_form_qa", "wmt"], ["long_form_qa", "wmt"]),
        ({"full": True, "tasks": ("wmt",)}, True, ["wmt"], ["wmt"]),
        ({"full": True, "methods": ("alarm",)}, True, [], []),
        ({"full": True, "recipes": ("meta",)}, True, [], []),
        ({"quick": True}, True, [], []),
        ({"sources": ("wmt",)}, False, ["wmt"], []),
        ({"sources": ("wmt",), "methods": ("alarm",)}, True, ["wmt"], []),
    ],
)
def test_what_an_invocation_does(tmp_path, options, runs, sources, pools):
    session = Session(scale="tiny", results=tmp_path / "results", store=tmp_path / "store", **options)
    assert bool(session.specs) == bool(session.tasks) == runs
    assert session.sources == sources and session.pools == pools
    parts = [str(part) for source in sources for part in session.study_parts(source)]
    assert len(set(parts)) >= 35 * bool(sources)
    assert any(part.startswith("sweep") for part in parts) == ("wmt" in sources)


def test_in_full_there_are_ablations_and_the_grid(tmp_path):
    def methods(**options) -> set[tuple[str, str | None]]:
        session = Session(scale="tiny", results=tmp_path / "results", store=tmp_path / "store", **options)
        return {(spec.method, spec.aspect) for spec in session.specs}

    usual, full = methods(tasks=("wmt",)), methods(tasks=("wmt",), full=True)
    assert usual < full
    assert {(method, aspect) for method, aspect in full - usual if aspect} == {
        ("alarm", aspect) for aspect in ("grammar", "confidence", "readability", "length")
    }
    assert ("log_sigmoid@meta", None) in full
    assert methods(tasks=("wmt",), grid_seeds=1) - usual == {pair for pair in full - usual if "@" in pair[0]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {("wmt", m, s) for m in ("holistic_only", "weighted_sum", "alarm", "oracle") for s in (1, 2)}),
        ({"tasks": ("long_form_qa",), "methods": ("alarm",)}, {("long_form_qa", "alarm", s) for s in (1, 2)}),
        ({"methods": ("raw_sum",), "seeds": (7,)}, {("wmt", "raw_sum", 7)}),
    ],
)
def test_a_first_look_is_small_and_what_is_named_stays(tmp_path, options, expected):
    session = Session(scale="tiny", results=tmp_path / "results", store=tmp_path / "store", quick=True, **options)
    assert {(spec.task, spec.method, spec.seed) for spec in session.specs} == expected
    assert len(session.specs) == len(expected) and all(spec.aspect is None for spec in session.specs)


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [([], "results"), (["--quick"], "results-quick"), (["--quick", "--results", "mine"], "mine")],
)
def test_a_first_look_has_a_folder_of_its_own(monkeypatch, arguments, folder):
    """What it finds must not stand among the results of the whole benchmark."""
    from benchmarks import conftest

    opened = []
    monkeypatch.setattr(Session, "from_options", lambda option, worker_input: opened.append(option))
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", default=None)
    monkeypatch.setattr(conftest.throughput, "asked_for", lambda config: False)
    conftest.pytest_configure(SimpleNamespace(option=parser.parse_args(arguments)))
    assert Path(opened[0].results).name == folder and opened[0].quick == ("--quick" in arguments)
    if folder != "mine":
        assert Path(opened[0].results).parent == ROOT


def test_a_data_set_that_is_not_in_the_folder_is_named_before_anything_is_made(results, tmp_path):
    (tmp_path / "data").mkdir()
    options = {"scale": "small", "data": tmp_path / "data", "sources": ("hh_harmless",)}
    with pytest.raises(ValueError, match=r"hh_harmless reads hh/harmless-base/test.jsonl.gz, which --data .* lacks"):
        Session(results=results, store=tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()


# The same through pytest: exit status 4 is its "usage error".


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--task", "wnt"], "ERROR: unknown task 'wnt'. Did you mean 'wmt'? Known: long_form_qa, wmt"),
        (["--seeds", "1,two"], "ERROR: --seeds takes whole numbers separated by commas, got '1,two'"),
    ],
)
def test_pytest_benchmarks_ends_with_a_usage_error(results, tmp_path, arguments, problem):
    before = files(results)
    ended = benchmarks(results, tmp_path / "store", *arguments)
    assert ended.returncode == 4
    assert problem in ended.stderr and "Traceback" not in ended.stdout + ended.stderr
    assert files(results) == before and not (tmp_path / "store").exists()


def test_an_unwritable_store_ends_pytest_benchmarks_before_any_work(results, tmp_path):
    (tmp_path / "file").write_text("")
    before = files(results)
    ended = benchmarks(results, tmp_path / "file" / "store")
    assert ended.returncode == 4
    assert "cannot be written" in ended.stderr and "--store" in ended.stderr
    assert files(results) == before


def test_a_damaged_earlier_record_is_named_and_left_as_it_is(results, tmp_path):
    damaged = results / "tiny" / "records" / "wmt" / "alarm" / "seed1.json"
    damaged.write_text('{"kind": "run", ')
    before = files(results)
    ended = benchmarks(results, tmp_path / "store", "-n0", "-k", "no_test_has_this_name")
    assert ended.returncode != 0
    assert f"not rendered: {damaged} cannot be read" in ended.stdout and "delete it and run" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    assert files(results) == before


# python -m alarm


def test_list_names_everything_with_one_line_each():
    ended = call("alarm", "list")
    assert ended.returncode == 0, ended.stderr
    lines = {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines() if line.startswith("  ")}
    expected = {
        *("long_form_qa", "wmt", "holistic_only", "aspect_only", "weighted_sum", "alarm", "alarm_as_released"),
        *("log_sigmoid", "log_sigmoid_sum", "raw_sum", "denoised_rm", "meta_rm", "oracle", "holistic_low_kl"),
        *("gold", "plain", "flip", "margin", "flip_margin", "soft_label_margin", "simcse", "swav", "meta"),
        *("hh_harmless", "wmt22_da", "ultrarm", "classifier", "comet"),
        *("holistic", "factuality", "relevance", "completeness"),
        *("grammar", "confidence", "readability", "length", "tiny", "small", "paper"),
    }
    assert set(lines) == expected
    assert all(lines.values()), "every name has its line of explanation"


def test_list_shows_a_users_method(known_methods, tmp_path, capsys):
    path = tmp_path / "own.py"
    path.write_text(
        "from alarm import Method, register_method\n"
        "register_method(Method('listed_method', 'what it does', lambda inputs: inputs.aspect))\n"
    )
    assert main(["list", "--method-file", str(path)]) == 0
    listed = next(line for line in capsys.readouterr().out.splitlines() if "listed_method" in line)
    assert listed.split() == ["listed_method", "what", "it", "does"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["tables", "--scale", "nope"], "unknown scale 'nope'. Known: paper, small, tiny"),
        (["tables", "--results", "no_such_results"], "there are no records in no_such_results/tiny/records; run"),
        (["list", "--method-file", "no_such.py"], "no_such.py does not exist"),
    ],
)
def test_a_wrong_command_is_one_sentence_on_stderr(capsys, arguments, problem):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and problem in captured.err
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train"])
    assert ended.value.code == 2
    assert "invalid choice: 'train'" in capsys.readouterr().err


def test_tables_are_rebuilt_from_records_alone(tmp_path, capsys):
    write_experiment(tmp_path, seeds=(1, 2))
    before = files(tmp_path)
    assert main(["tables", "--results", str(tmp_path)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.is_file() for path in printed) and printed[-1] == tmp_path / "tiny" / "README.md"
    assert {name: files(tmp_path)[name] for name in before} == before


def test_tables_stop_at_a_foreign_record_and_write_nothing(results, capsys):
    path = results / "tiny" / "records" / "wmt" / "alarm" / "seed2.json"
    path.write_text('{"kind": "something else"}')
    before = files(results)
    assert main(["tables", "--results", str(results)]) == 2
    assert f"{path} is no run record of this suite" in capsys.readouterr().err
    assert files(results) == before
    assert read_record(path.with_name("seed1.json")).seed == 1


def test_a_reader_that_has_had_enough_is_no_error():
    command = f"{sys.executable} -m alarm show --scale tiny | head -n 1"
    process = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert process.stdout.count("\n") == 1 and "Traceback" not in process.stderr + process.stdout
