"""Holistic reward only: the reward model's score on the last token (arXiv:2403.06754, section 4.1)."""

from alarm import Method, RewardInputs, register_method
from alarm.compositions import holistic_rewards


def compose(inputs: RewardInputs):
    return holistic_rewards(inputs.holistic, inputs.response_mask, holistic_weight=inputs.holistic_weight)


METHOD = register_method(
    Method(
        name="holistic_only",
        description="the holistic reward on the last token",
        compose=compose,
        reads_aspect=False,
    )
)
