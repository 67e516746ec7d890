"""The least that an iteration of PPO can multiply, from shapes alone, whatever the library.

One trunk is shared by policy and value, log-probabilities and values of the old policy are kept from sampling, and
nothing is padded: sampling reads every token once, the reference once, and each epoch costs three forward passes. Only
matrix products count: projections, attention over the pairs of tokens that see each other, and the output head at
response tokens. Reward models do not.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.throughput.workloads import Workload

PASSES_PER_EPOCH = 3
"""Forward, and a backward pass with two products for each of its own."""


@dataclass(frozen=True)
class Shape:
    """What decides how much an iteration multiplies; all prompts and all responses have the same length."""

    architecture: str
    """`causal` (GPT-2) or `seq2seq` (T5)."""
    hidden: int
    feedforward: int
    layers: int
    """Per stack."""
    heads: int
    vocabulary: int
    batch: int
    mini_batch: int
    epochs: int
    prompt_tokens: int
    response_tokens: int

    @classmethod
    def of(cls, workload: Workload) -> Shape:
        """The shape of a workload whose policy is built from scratch."""
        policy, ppo = workload.policy, workload.ppo
        return cls(
            architecture=policy.architecture,
            hidden=policy.hidden_size,
            feedforward=policy.feedforward_size,
            layers=policy.layers,
            heads=policy.heads,
            vocabulary=policy.vocabulary_size,
            batch=ppo.batch_size,
            mini_batch=ppo.mini_batch_size,
            epochs=ppo.epochs,
            prompt_tokens=ppo.max_prompt_tokens,
            response_tokens=ppo.max_new_tokens,
        )


def forward_flops(shape: Shape) -> int:
    """Operations of one forward pass over a batch of prompts and responses; that of sampling with a cache too.

    >>> tiny = Shape("causal", 2, 4, 1, 1, 8, 1, 1, 1, prompt_tokens=2, response_tokens=1)
    >>> forward_flops(tiny)  # two tokens: (4 * 2 * 2 + 2 * 2 * 4) weights each, three pairs, one token's head
    184
    """
    width, read, written = shape.hidden, shape.prompt_tokens, shape.response_tokens
    square, wide = width * width, width * shape.feedforward
    head = 2 * width * shape.vocabulary * written
    if shape.architecture == "causal":
        tokens = read + written - 1  # nothing is predicted from the last
        layer = 2 * tokens * (4 * square + 2 * wide) + _attention(width, _causal_pairs(tokens))
        return shape.batch * (shape.layers * layer + head)
    encoder = 2 * read * (4 * square + 2 * wide) + _attention(width, read * read)
    decoder = 2 * written * (6 * square + 2 * wide) + _attention(width, _causal_pairs(written))
    crossing = 2 * read * 2 * square + _attention(width, read * written)
    return shape.batch * (shape.layers * (encoder + decoder + crossing) + head)


def iteration_flops(shape: Shape) -> int:
    """Of sampling, the reference and all epochs.

    >>> tiny = Shape("causal", 2, 4, 1, 1, 8, 1, 1, epochs=4, prompt_tokens=2, response_tokens=1)
    >>> iteration_flops(tiny) // forward_flops(tiny)
    14
    """
    return (2 + PASSES_PER_EPOCH * shape.epochs) * forward_flops(shape)


def _attention(width: int, pairs: int) -> int:
    """QK and AV over all heads."""
    return 4 * width * pairs


def _causal_pairs(tokens: int) -> int:
    return tokens * (tokens + 1) // 2
