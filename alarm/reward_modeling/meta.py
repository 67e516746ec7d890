"""MetaRM: a reward model adapted to what the current policy writes, without new labels.

Source: arXiv:2401.06080 and arXiv:2405.00438.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from alarm.reward_modeling.fitting import learning_rate_multiples
from alarm.reward_modeling.pair_batches import collate_groups, group_pairs, groups_per_step
from alarm.reward_modeling.preferences import pair_loss
from alarm.scorers.networks import collate, marked_logits

if TYPE_CHECKING:
    from alarm.reward_modeling.pair_batches import Pair
    from alarm.scorers.networks import Batch, Encoded
    from alarm.scorers.reader import Reader
    from alarm.settings import RecipeSettings, RewardModelSettings


def difference_loss(scores: Tensor) -> Tensor:
    """How far a reward model tells the samples of a prompt apart; MetaRM ascends it.

    J = `2 / k^2 sum_{i<j} sigmoid(|s_i - s_j|)`, mean over prompts: between (k - 1) / 2k where all scores are equal and
    (k - 1) / k. Equal scores (of equal texts) have no gradient between them.

    Args:
        scores: [P, k] of k >= 2 samples for each of P prompts.
    Returns:
        scalar.
    Raises:
        ValueError: another shape.
    Source: arXiv:2405.00438, the difference loss.
    """
    if scores.dim() != 2 or len(scores) == 0 or scores.shape[1] < 2:
        raise ValueError(f"scores must be [P, k], two or more samples for each prompt, got {tuple(scores.shape)}")
    k = scores.shape[1]
    first, second = torch.triu_indices(k, k, offset=1, device=scores.device)
    gaps = (scores[:, first] - scores[:, second]).abs()
    return 2 / k**2 * gaps.sigmoid().sum(1).mean()


def meta_step(
    parameters: Sequence[Tensor],
    difference: Callable[[], Tensor],
    preference: Callable[[], Tensor],
    *,
    ascent_rate: float,
    learning_rate: float,
    multiples: Sequence[float] | None = None,
) -> tuple[float, float]:
    """One MetaRM update of `parameters` in place, in plain gradient steps.

    `theta' = theta + eta grad J(theta)`, then `theta <- theta - alpha grad L(theta')`; the second gradient is taken at
    theta' and not through it.

    Args:
        parameters: theta; those that a loss does not depend on have zero gradient in it.
        difference: J at the parameters' present values.
        preference: L at the parameters' present values.
        ascent_rate: eta >= 0.
        learning_rate: alpha >= 0.
        multiples: one factor per parameter on both rates, 1 by default: theta is then updated with its own eta and
            alpha in every coordinate, and the equations hold per parameter.
    Returns:
        J(theta) and L(theta').
    Raises:
        ValueError: a loss or gradient is NaN or infinite; the parameters are then as they were.
    Source: arXiv:2405.00438, the two gradient steps of its algorithm.
    """
    factors = [1.0] * len(parameters) if multiples is None else list(multiples)
    start = [parameter.detach().clone() for parameter in parameters]
    spread, ascent = _gradients("difference", difference, parameters)
    try:
        _add(parameters, ascent, [ascent_rate * factor for factor in factors])
        loss, descent = _gradients("preference", preference, parameters)
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, start, strict=True):
                parameter.copy_(value)
    _add(parameters, descent, [-learning_rate * factor for factor in factors])
    return spread, loss


def meta_update(
    reader: Reader,
    pairs: Sequence[Pair],
    samples: Sequence[tuple[str, Sequence[str]]],
    *,
    settings: RewardModelSettings,
    recipes: RecipeSettings,
    seed: int,
    device: str = "cpu",
) -> dict[str, Any]:
    """Adapt `reader`, a trained sequence score, to the current policy in place: `recipes.meta_steps` MetaRM steps.

    A step descends the preference loss on a batch of the original comparisons, all of a prompt together as in training,
    and spreads the scores of the samples for `recipes.meta_prompts` prompts. Head and body of an encoder-decoder learn
    at the same multiples of both rates as in training (`learning_rate_multiples`). The network has no dropout here.

    Args:
        pairs: the comparisons that the model was trained on.
        samples: prompts with k sampled responses of the current policy each, k >= 2 the same for all; duplicates stay.
        settings: `batch_size` and the multiples of the rates are read.
        recipes: `meta_steps`, `meta_prompts`, `meta_ascent_rate`, `meta_learning_rate` are read.
        seed: decides which pairs and prompts each step has.
    Returns:
        `steps`, and first and last value of both losses: `first_difference_loss`, `last_difference_loss`,
        `first_preference_loss`, `last_preference_loss` (on the step's own batches).
    Raises:
        ValueError: no pairs, no steps, samples of different counts, or a loss that is not finite.
    """
    counts = {len(responses) for _, responses in samples}
    if not pairs or recipes.meta_steps < 1:
        raise ValueError(f"MetaRM needs comparisons and meta_steps >= 1, got {len(pairs)} and {recipes.meta_steps}")
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(
            f"MetaRM needs one number of samples >= 2 for every prompt, got {sorted(counts) or 'no prompts'}; "
            "draw as many for each"
        )
    reader.network.to(device).eval()
    pad_id, zeros = reader.tokenizer.pad_token_id, [0.0] * len(pairs)
    groups = group_pairs(reader, pairs, zeros, zeros)
    sampled = _encode_samples(reader, samples)
    parameters, multiples = [], []
    for group, multiple in learning_rate_multiples(reader, settings):
        parameters += group
        multiples += [multiple] * len(group)
    generator = np.random.default_rng(seed)
    pair_rows = _cycle(len(groups), groups_per_step(groups, settings.batch_size), generator)
    sample_rows = _cycle(len(sampled), recipes.meta_prompts, generator)
    history = []
    for _ in range(recipes.meta_steps):
        batch, arguments = collate_groups([groups[i] for i in next(pair_rows)], pad_id=pad_id)
        spread, index = _collate_samples([sampled[i] for i in next(sample_rows)], pad_id=pad_id)
        history.append(
            meta_step(
                parameters,
                partial(_difference, reader.network, spread.to(device), index.to(device)),
                partial(_preference, reader.network, batch.to(device), _to(arguments, device)),
                ascent_rate=recipes.meta_ascent_rate,
                learning_rate=recipes.meta_learning_rate,
                multiples=multiples,
            )
        )
    first, last = history[0], history[-1]
    return {
        "steps": len(history),
        "first_difference_loss": first[0],
        "last_difference_loss": last[0],
        "first_preference_loss": first[1],
        "last_preference_loss": last[1],
    }


def _difference(network: nn.Module, batch: Batch, index: Tensor) -> Tensor:
    return difference_loss(marked_logits(network, batch).squeeze(1)[index])


def _preference(network: nn.Module, batch: Batch, arguments: dict[str, Tensor]) -> Tensor:
    return pair_loss(marked_logits(network, batch), **arguments)


def _gradients(name: str, loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
    """The loss and its gradient; a parameter it does not depend on has zeros."""
    value = loss()
    gradients = torch.autograd.grad(value, parameters, materialize_grads=True)
    if not (value.isfinite() and all(gradient.isfinite().all() for gradient in gradients)):
        raise ValueError(
            f"MetaRM's {name} loss is {value.item()} or has a gradient that is not finite; "
            "lower meta_ascent_rate and meta_learning_rate"
        )
    return value.item(), list(gradients)


@torch.no_grad()
def _add(parameters: Sequence[Tensor], gradients: Sequence[Tensor], rates: Sequence[float]) -> None:
    for parameter, gradient, rate in zip(parameters, gradients, rates, strict=True):
        parameter.add_(gradient, alpha=rate)


def _encode_samples(
    reader: Reader, samples: Sequence[tuple[str, Sequence[str]]]
) -> list[tuple[list[Encoded], list[int]]]:
    """For each prompt its distinct responses, and for each of its samples which of them it is."""
    texts = [{text: i for i, text in enumerate(dict.fromkeys(responses))} for _, responses in samples]
    flat = [(prompt, text) for (prompt, _), known in zip(samples, texts, strict=True) for text in known]
    encoded = iter(reader.encode([prompt for prompt, _ in flat], [[text] for _, text in flat]))
    return [
        ([next(encoded) for _ in known], [known[text] for text in responses])
        for (_, responses), known in zip(samples, texts, strict=True)
    ]


def _collate_samples(rows: Sequence[tuple[list[Encoded], list[int]]], *, pad_id: int) -> tuple[Batch, Tensor]:
    """The distinct responses of P prompts as one batch, and [P, k] rows of it, one per sample."""
    responses: list[Encoded] = []
    index = []
    for distinct, positions in rows:
        index.append([len(responses) + position for position in positions])
        responses += distinct
    return collate(responses, pad_id=pad_id), torch.tensor(index)


def _cycle(count: int, size: int, generator: np.random.Generator) -> Iterator[list[int]]:
    """Endless batches of `size` different indices below `count`, or of all, in a new order for every pass."""
    size = min(size, count)
    while True:
        order = generator.permutation(count).tolist()
        yield from (order[start : start + size] for start in range(0, count - size + 1, size))


def _to(arguments: dict[str, Tensor], device: str) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in arguments.items()}
