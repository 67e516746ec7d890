"""Best-of-k from one pool of SFT samples, raw sums against log-sigmoid sums (arXiv:2402.00742)."""

from alarm.experiment.best_of_k import best_of_k
from alarm.records import write_best_of_k


def test_best_of_k(session, pool_task):
    """Gold quality and win rate over the SFT policy for k = 1 to the size of the pool."""
    record = best_of_k(session.lab(pool_task))
    assert write_best_of_k(session.results, record).is_file()
    assert record.ks[-1] == record.pool
