"""ALaRM and its baselines: hierarchical rewards modelling for RLHF, reproduced and measured (arXiv:2403.06754)."""

from alarm.methods import METHODS, Method, RewardInputs, register_method

__version__ = "0.1.0"
__all__ = ["METHODS", "Method", "RewardInputs", "__version__", "register_method"]
