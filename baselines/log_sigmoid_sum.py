"""Logical AND: log-sigmoid-centred rewards, summed over the holistic reward and the aspects (arXiv:2402.00742)."""

from alarm import Method, RewardInputs, register_method
from alarm.compositions import log_sigmoid_sum_rewards


def compose(inputs: RewardInputs):
    """The weight is that of the holistic reward, so that the exchange rate against KL is the other methods' too."""
    return log_sigmoid_sum_rewards(
        inputs.properties, inputs.references, inputs.response_mask, weight=inputs.holistic_weight
    )


METHOD = register_method(
    Method(
        name="log_sigmoid_sum",
        description="log-sigmoid-centred rewards summed over all properties: the log-probability of good in each",
        compose=compose,
        reads_aspect=False,
        properties="all",
    )
)
