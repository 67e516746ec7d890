"""Best-of-k in closed form: the mean over all subsets of k samples, instead of a few drawn at random.

Of n samples of one prompt, k are drawn without replacement and the selector takes the one it scores highest; equal
scores share the choice. n samples give the expectation for every k at once, exactly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata


def best_of_k_kl(k: int) -> float:
    """KL divergence of the best-of-k policy from the policy that is sampled, `log k - (k - 1) / k`, in nats.

    Raises:
        ValueError: k is below 1.

    Source: arXiv:2402.00742 (best-of-k); exact where scores never tie, an upper bound otherwise.
    """
    if k < 1:
        raise ValueError(f"best-of-k needs k of at least 1, got {k}")
    return math.log(k) - (k - 1) / k


def best_of_k_weights(scores: ArrayLike, k: int) -> NDArray[np.float64]:
    """How often each sample is the best of k, over all subsets of k samples.

    The best of a subset has rank at most m in `C(m, k) / C(n, k)` of the subsets, so n samples without ties are chosen
    with the differences of that; samples of one score share their ranks' chances equally.

    Args:
        scores: [n], the selector's, higher is better.
        k: 1 to n.
    Returns:
        [n] float64, summing to 1: equal for k = 1, all on the highest scores for k = n.
    Raises:
        ValueError: k is not between 1 and n, or a score is NaN.

    >>> best_of_k_weights([0.3, 0.1, 0.2], 2).round(3).tolist()
    [0.667, 0.0, 0.333]
    """
    scores = _checked(scores, k)
    up_to = _chance_of_rank_up_to(len(scores), k)
    highest, lowest = (rankdata(scores, method=method).astype(int) for method in ("max", "min"))
    return (up_to[highest] - up_to[lowest - 1]) / (highest - lowest + 1)


def best_of_k_win_rate(scores: ArrayLike, quality: ArrayLike, k: int) -> float:
    """How often the best of k samples has higher quality than one more sample, a tie counting half.

    The mean over all choices of an opponent and of k among the other samples: 1/2 for k = 1, and k / (k + 1) for a
    selector that scores quality itself, without ties.

    Args:
        scores: [n], the selector's, higher is better.
        quality: [n], higher is better.
        k: 1 to n - 1.
    Returns:
        A share in [0, 1].
    Raises:
        ValueError: k is not between 1 and n - 1, a score or quality is NaN, or the lengths differ.
    """
    scores, quality = _checked(scores, k + 1), _checked(quality, 1)
    if len(scores) != len(quality):
        raise ValueError(f"best-of-k needs one quality per score, got {len(quality)} for {len(scores)}")
    up_to = _chance_of_rank_up_to(len(scores) - 1, k)
    # [opponent, sample]: ranks among the samples that are left without the opponent.
    opponent, sample = scores[:, None], scores[None, :]
    highest = rankdata(scores, method="max").astype(int) - (opponent <= sample)
    lowest = rankdata(scores, method="min").astype(int) - (opponent < sample)
    playing = ~np.eye(len(scores), dtype=bool)
    sharing = np.where(playing, highest - lowest + 1, 1)
    chosen = np.where(playing, (up_to[highest] - up_to[lowest - 1]) / sharing, 0.0)
    beaten = (quality[None, :] > quality[:, None]) + 0.5 * (quality[None, :] == quality[:, None])
    return float((chosen * beaten).sum() / len(scores))


def _chance_of_rank_up_to(n: int, k: int) -> NDArray[np.float64]:
    """[n + 1]: the share of the subsets of k among n ranks whose highest rank is at most 0, 1, ..., n."""
    total = math.comb(n, k)
    return np.array([math.comb(m, k) / total for m in range(n + 1)])


def _checked(values: ArrayLike, k: int) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise ValueError(f"best-of-k needs one number per sample, none of them NaN; got shape {values.shape}")
    if not 1 <= k <= len(values):
        raise ValueError(f"{len(values)} samples are too few, or k is below 1: {k} are needed")
    return values
