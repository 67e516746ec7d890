"""Shared by all tests: offline libraries, one thread, and the optional folder of real data."""

import functools
import os
import signal
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Shells start background jobs so, and every process that a test starts and interrupts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Timings on shared machines vary too much for a deadline; a fixed seed keeps a failure repeatable.
hypothesis.settings.register_profile("offline", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("offline")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data (QA-Feedback, Multi30k, ...), named by ALARM_DATA; skips where there is none."""
    folder = os.environ.get("ALARM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set ALARM_DATA to the folder with the real data sets to run this test")
    return Path(folder)


@pytest.fixture(scope="session")
def micro_store(tmp_path_factory) -> Path:
    """The store all micro labs of a test session share; what one test builds, the next finds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def labs(micro_store):
    """A function from a task's name to its micro lab, built on demand."""
    from tests.micro import micro_lab

    return functools.cache(lambda task: micro_lab(task, micro_store))


@pytest.fixture
def known_methods():
    """The registered methods, baselines included; what a test registers is forgotten after it."""
    import baselines  # noqa: F401  registers the baselines
    from alarm.methods import METHODS

    before = dict(METHODS.items())
    yield METHODS
    METHODS._entries.clear()
    METHODS._entries.update(before)


@pytest.fixture
def make_judge(tmp_path):
    """A function from a server to a judge; all judges of a test have one cache, unless given another `folder`."""
    from tests.judging import judge_of

    def make(server, *, folder: Path = tmp_path, **settings):
        return judge_of(server, folder, **settings)

    return make
