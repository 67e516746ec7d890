"""The study of reward-model recipes (arXiv:2401.06080): one test per training, then the record of all of them."""

from alarm.records import write_reward_models


def test_part(session, study_part):
    """One part of a source's study: strength of preferences, a recipe's training curve, a strength decile, a noise."""
    source, part = study_part
    assert session.study(source).part(part)["seconds"] > 0


def test_study(session, study_source):
    """All parts of a source together."""
    record = session.study(study_source).record()
    path = write_reward_models(session.results, record)
    assert path.is_file()
    assert {row["recipe"] for row in record.curves} >= {"plain", "flip", "margin", "flip_margin", "soft_label_margin"}
    assert all(0 <= value <= 1 for row in record.curves for values in row["accuracy"].values() for value in values)
