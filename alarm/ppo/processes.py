"""The processes that share one run: which rows are whose, and numbers over all of them. Alone, all is the identity.

Every process holds the whole batch's texts, rewards and advantages, which are small, and does the costly work
(sampling, scoring, the networks) for its own rows. So numbers decide alike everywhere, and nothing that is kept depends
on how many processes there were. All processes must call these functions in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor

from alarm.ppo.losses import masked_sum

T = TypeVar("T")


def count() -> int:
    """How many processes share the run; 1 unless they were joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def index() -> int:
    """This process's place among them, from 0."""
    return dist.get_rank() if count() > 1 else 0


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return index() == 0


def shard(rows: int) -> range:
    """This process's rows of `rows`: neighbours, so that the responses to one prompt stay together.

    Shards follow each other in the order of the processes and differ by one row at most; some are empty where there are
    fewer rows than processes.
    """
    return range(rows * index() // count(), rows * (index() + 1) // count())


def global_sum(values: Tensor) -> Tensor:
    """The sum over all processes of tensors of one shape, the same bits in each of them; NaN where any has NaN."""
    if count() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def global_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of all processes where `mask` [N, T] is True, each token weighing the same; 0 without any.

    Sums and counts are added up before they are divided: the mean of the processes' means would weigh a token by the
    size of its shard.
    """
    total, tokens = global_sum(masked_sum(values, mask)), global_sum(mask.sum())
    return total / tokens.clamp(min=1)


def gather(rows: Sequence[T]) -> list[T]:
    """The rows of all processes, in their order: what `shard` has cut, put together again."""
    if count() == 1:
        return list(rows)
    parts: list[Any] = [None] * count()
    dist.all_gather_object(parts, list(rows))
    return [row for part in parts for row in part]


def in_shards(work: Callable[[slice], Sequence[T]], rows: int) -> list[T]:
    """What `work` makes of each of `rows` rows, every process doing its own; `work` gets them as a slice.

    Raises:
        ValueError: `work` raised one on any process; all raise it, so that none waits for the others.
    """
    mine = shard(rows)
    problem, done = None, []
    try:
        done = list(work(slice(mine.start, mine.stop))) if mine else []
    except ValueError as error:
        if count() == 1:
            raise
        problem = error
    problems = [error for error in gather([problem]) if error is not None]
    if problems:
        raise ValueError(str(problems[0])) from problem
    return gather(done)


def broadcast(value: T | None = None) -> T:
    """The main process's `value`, in every process."""
    values = [value]
    if count() > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]
