"""Weighted sum: holistic and raw aspect rewards for every response, no threshold (arXiv:2403.06754, section 4.1)."""

from alarm import Method, RewardInputs, register_method
from alarm.compositions import weighted_sum_rewards


def compose(inputs: RewardInputs):
    return weighted_sum_rewards(
        inputs.holistic,
        inputs.aspect,
        inputs.response_mask,
        holistic_weight=inputs.holistic_weight,
        aspect_weight=inputs.aspect_weight,
    )


METHOD = register_method(
    Method(name="weighted_sum", description="holistic plus raw aspect rewards, no threshold", compose=compose)
)
