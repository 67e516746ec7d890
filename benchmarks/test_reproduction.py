"""The paper's experiment: shared artifacts first, then one test per run. Tables are rendered when all have ended."""

import math

from alarm.experiment.publish import publish_run, publish_setup
from alarm.experiment.run import Run


def test_setup(session, task_name):
    """SFT policy, comparisons, reward models, constants and proactive selection of a task."""
    lab = session.lab(task_name)
    paths = publish_setup(session.results, lab)
    assert all(path.is_file() for path in paths)
    assert lab.selection["selected"] in lab.task.aspects


def test_run(session, run_spec):
    """PPO with one method's rewards, then greedy and sampled test responses and their scores."""
    lab = session.lab(run_spec.task)
    run = Run(lab, run_spec)
    record = run.record()
    publish_run(session.results, record)
    assert record.error is None, record.error
    assert len(record.history) == run.settings.iterations
    assert all(math.isfinite(value) for value in record.metrics["test"].values())
