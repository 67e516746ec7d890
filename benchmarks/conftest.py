"""Options of `pytest benchmarks`, one worker per core, and progress while it runs."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

# One thread per process, set before torch is imported: two processes with two threads each on two cores crawl, and a
# fixed count keeps the numbers the same whatever the number of workers.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Workers keep freed memory instead of handing it back with every large tensor: about 6 % of a run on Linux.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 30))
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))

import pytest

from alarm.experiment.choices import add_choices, default_device
from benchmarks.throughput import plugin as throughput

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("alarm", "reward-modelling benchmarks")
    group.addoption("--scale", default="tiny", help="tiny (default), small or paper")
    group.addoption("--task", action="append", default=[], help="task to run; may be repeated (default: all)")
    group.addoption("--method", action="append", default=[], help="method to run; may be repeated (default: all)")
    group.addoption(
        "--source",
        action="append",
        default=[],
        help="comparisons whose reward models are studied: a task, or at small hh_harmless, wmt22_da; may be repeated",
    )
    group.addoption("--method-file", action="append", default=[], help="Python file that registers a method of yours")
    group.addoption("--aspect", action="append", default=[], help="aspect to use instead of the selected one")
    group.addoption("--recipe", action="append", default=[], help="reward-model recipe of the methods; may be repeated")
    group.addoption(
        "--grid-seeds",
        type=int,
        default=None,
        help="seeds of the grid's further cells, compositions x recipes (default: 1 with --full at tiny, else 0)",
    )
    group.addoption("--seeds", default="1,2,3", help="comma-separated seeds (default: 1,2,3)")
    group.addoption(
        "--full", action="store_true", help="also ablations of the aspect, compositions x recipes, and the recipe study"
    )
    group.addoption("--quick", action="store_true", help="a first look: one task, four methods, two seeds")
    group.addoption("--device", default=None, help="cpu or cuda (default: cpu below scale paper, cuda there)")
    group.addoption("--data", default=None, help="folder with real data, for scale small")
    add_choices(group.addoption)
    group.addoption(
        "--judge", default=None, metavar="openai:MODEL", help="let a language model judge the finished runs"
    )
    group.addoption("--max-cost", type=float, default=None, metavar="USD", help="what the judge may spend at most")
    group.addoption("--price-in", type=float, default=None, metavar="USD", help="judge, per million tokens read")
    group.addoption("--price-out", type=float, default=None, metavar="USD", help="judge, per million tokens written")
    group.addoption("--store", default=None, help="folder of trained artifacts (default: in the user's cache folder)")
    group.addoption(
        "--results",
        default=None,
        help="folder for records, tables and figures (default: results; quick: results-quick)",
    )
    group.addoption("--peers", default=None, metavar="DIR", help="environments of other libraries, for -k peers")
    group.addoption("--threads", type=int, default=None, help="of each process of -k peers (default: all cores)")
    group.addoption("--rounds", type=int, default=None, help="rounds of -k peers (default: those of the workload)")
    group.addoption("--fresh", action="store_true", help="build everything anew instead of using stored artifacts")


def pytest_configure(config: pytest.Config) -> None:
    if throughput.asked_for(config):
        throughput.register(config)
        return
    from alarm.experiment.session import Session

    if config.option.results is None:
        config.option.results = str(ROOT / ("results-quick" if config.option.quick else "results"))
    try:
        config.alarm = Session.from_options(config.option, worker_input=getattr(config, "workerinput", None))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """One worker per core on CPU, one in all on an accelerator, unless `-n` says otherwise; none to measure."""
    if throughput.asked_for(config):
        config.option.device = config.option.device or "cpu"
        return
    if config.option.numprocesses is None and not hasattr(config, "workerinput") and not config.option.usepdb:
        device = config.option.device or default_device(config.option.scale)
        workers = len(os.sched_getaffinity(0)) if device == "cpu" else 1
        config.option.numprocesses = workers
        # One test at a time, so that a worker never sits on work another could do.
        config.option.maxschedchunk = 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    session = metafunc.config.alarm
    if "run_spec" in metafunc.fixturenames:
        metafunc.parametrize("run_spec", session.specs, ids=str)
    if "task_name" in metafunc.fixturenames:
        metafunc.parametrize("task_name", session.tasks)
    if "pool_task" in metafunc.fixturenames:
        metafunc.parametrize("pool_task", session.pools)
    if "study_part" in metafunc.fixturenames:
        plan = [(source, part) for source in session.sources for part in session.study_parts(source)]
        metafunc.parametrize("study_part", plan, ids=[f"{source}-{part}" for source, part in plan])
    if "study_source" in metafunc.fixturenames:
        metafunc.parametrize("study_source", session.sources)
    if "judged_task" in metafunc.fixturenames:
        metafunc.parametrize("judged_task", session.judged)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is there only where it is asked for."""
    if throughput.asked_for(config):
        return None
    left_out = {*throughput.MODULES.values(), *(() if config.alarm.judge else ("test_judge.py",))}
    return True if collection_path.name in left_out else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every worker begin with another task's setup, so that none waits for what another is building.

    xdist hands each worker two tests at first: a task's setup and one of its runs. The other runs follow, those of the
    task whose setup is the shortest (the last named) first, and then what reads finished runs.
    """
    order = ("test_setup", "test_run", "test_best_of_k", "test_part", "test_study")
    items.sort(key=lambda item: order.index(item.originalname) if item.originalname in order else len(order))
    by_task: dict[str, list[pytest.Item]] = {}
    others = []
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        # A test of nothing, as runs where only a study was asked for, has a parameter of no known kind.
        task = getattr(parameters.get("run_spec"), "task", parameters.get("task_name"))
        if isinstance(task, str):
            by_task.setdefault(task, []).append(item)
        else:
            others.append(item)
    first = [item for group in by_task.values() for item in group[:2]]
    rest = [item for group in reversed(by_task.values()) for item in group[2:]]
    items[:] = first + rest + others


@pytest.fixture
def session(pytestconfig: pytest.Config):
    """The session's options, store and labs."""
    return pytestconfig.alarm


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell xdist's workers which invocation they belong to, so that `--fresh` rebuilds each artifact once."""
    node.workerinput["alarm_token"] = node.config.alarm.token


class StatusLine:
    """One line at the bottom of a terminal: how many tests are done, and what each process is doing."""

    current: StatusLine | None = None

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._writer = config.get_terminal_writer()
        self._folder = folder
        self._started = time.time()
        self.total = self.done = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def start(self) -> None:
        StatusLine.current = self
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._writer.write("\r\x1b[2K", flush=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _loop(self) -> None:
        from alarm.experiment.progress import describe

        while not self._stop.wait(1.0):
            line = f"[{self.done}/{self.total} done, {time.time() - self._started:.0f} s] "
            line += " | ".join(describe(self._folder))
            width = self._writer.fullwidth - 1
            self._writer.write("\r\x1b[2K" + line[:width] + "\r", flush=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if not hasattr(config, "workerinput") and reporter is not None and reporter.isatty and config.option.numprocesses:
        config.alarm.progress_folder.mkdir(parents=True, exist_ok=True)
        StatusLine(config, config.alarm.progress_folder).start()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids) -> None:
    if StatusLine.current:
        StatusLine.current.total = len(ids)


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if StatusLine.current and report.when == "call":
        StatusLine.current.done += 1


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    if StatusLine.current:
        StatusLine.current.stop()
    if config.alarm is None:
        return
    config.alarm.close()
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    try:
        config.alarm_rendered = config.alarm.render()
        if config.alarm.quick and config.alarm_rendered:
            config.alarm_first_look = config.alarm.first_look()
    except ValueError as error:
        # Such as an unreadable record of an earlier run: the runs of now are kept, the tables wait for its repair.
        config.alarm_render_error = str(error)
        session.exitstatus = exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    problem = getattr(config, "alarm_render_error", None)
    if problem:
        terminalreporter.section("tables and figures")
        terminalreporter.line(f"not rendered: {problem}", red=True)
    first_look = getattr(config, "alarm_first_look", None)
    if first_look:
        terminalreporter.section("quick")
        for line in first_look.splitlines():
            terminalreporter.line(line)
    rendered = getattr(config, "alarm_rendered", [])
    if rendered:
        terminalreporter.section("tables and figures")
        for path in rendered:
            if path.name in ("README.md", "report.html"):
                terminalreporter.line(f"all tables and figures: {path}")
