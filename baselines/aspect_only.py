"""Aspect reward only: the selected aspect's dense, raw reward (arXiv:2403.06754, section 4.1)."""

from alarm import Method, RewardInputs, register_method
from alarm.compositions import aspect_rewards


def compose(inputs: RewardInputs):
    return aspect_rewards(inputs.aspect, inputs.response_mask, aspect_weight=inputs.aspect_weight)


METHOD = register_method(
    Method(name="aspect_only", description="the selected aspect's per-token reward alone", compose=compose)
)
