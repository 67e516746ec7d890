"""Raw sum: the properties of `log_sigmoid_sum` and its weight, untransformed; its control (arXiv:2402.00742)."""

from alarm import Method, RewardInputs, register_method
from alarm.compositions import raw_sum_rewards


def compose(inputs: RewardInputs):
    return raw_sum_rewards(inputs.properties, inputs.references, inputs.response_mask, weight=inputs.holistic_weight)


METHOD = register_method(
    Method(
        name="raw_sum",
        description="raw rewards summed over all properties, the control of log_sigmoid_sum",
        compose=compose,
        reads_aspect=False,
        properties="all",
    )
)
