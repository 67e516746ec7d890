"""The methods ALaRM is compared with, one short file each. Copy one to start a new method."""

from baselines import aspect_only, holistic_only, weighted_sum

__all__ = ["aspect_only", "holistic_only", "weighted_sum"]
