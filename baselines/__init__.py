"""The methods ALaRM is compared with, one short file each. Copy one to start a new method."""

from baselines import (
    aspect_only,
    denoised_rm,
    holistic_low_kl,
    holistic_only,
    log_sigmoid,
    log_sigmoid_sum,
    meta_rm,
    oracle,
    raw_sum,
    weighted_sum,
)

__all__ = [
    "aspect_only",
    "denoised_rm",
    "holistic_low_kl",
    "holistic_only",
    "log_sigmoid",
    "log_sigmoid_sum",
    "meta_rm",
    "oracle",
    "raw_sum",
    "weighted_sum",
]
