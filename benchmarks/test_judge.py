"""A language model's verdicts on the finished runs, with `--judge openai:MODEL` (arXiv:2403.06754, section 4.1)."""

from alarm.experiment.judging import judge_task
from alarm.records import read_judge


def test_judge(session, judged_task):
    """Each two methods once per seed on the same test prompts, both orders asked."""
    path = judge_task(
        session.lab(judged_task),
        session.judge,
        session.judged_specs(judged_task),
        results=session.results,
        invocation=session.token,
    )
    record = read_judge(path)
    assert record.comparisons
    assert record.facts["without_choice"]["missing"] == 0
