"""The progress line: work goes on under its own name when an artifact made on the way is done."""

from __future__ import annotations

from alarm.experiment import progress as module
from alarm.experiment.progress import Progress, describe


def test_nested_work_ends_and_the_work_around_it_keeps_its_name(tmp_path):
    progress = Progress(tmp_path)
    progress.start("wmt alarm seed 1")
    progress.step(1, 16, reward=0.5)
    with progress.nested():
        progress.start("wmt samples")
        progress.step(3, 9)
        assert describe(tmp_path) == ["wmt samples: step 3/9"]
    progress.step(2, 16, reward=0.6)
    (line,) = describe(tmp_path)
    assert line.startswith("wmt alarm seed 1: step 2/16, reward 0.6, ") and line.endswith(" s left")


def test_time_left_counts_from_the_first_step_also_after_a_resume(tmp_path, monkeypatch):
    clock = iter([100.0, 102.0, 106.0])
    monkeypatch.setattr(module.time, "time", lambda: next(clock))
    progress = Progress(tmp_path)
    progress.start("run")
    progress.step(9, 16)
    assert describe(tmp_path) == ["run: step 9/16"], "what went before the first step tells nothing"
    progress.step(10, 16)
    assert describe(tmp_path) == ["run: step 10/16, 12 s left"]
    progress.step(12, 16)
    assert describe(tmp_path) == ["run: step 12/16, 8 s left"]
