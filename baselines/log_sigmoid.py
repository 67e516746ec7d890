"""Log-sigmoid-centred reward: the holistic reward's log-probability of being good (arXiv:2402.00742)."""

from alarm import Method, RewardInputs, register_method
from alarm.compositions import holistic_rewards
from alarm.transforms import log_sigmoid_centered


def compose(inputs: RewardInputs):
    """The weight is that of the holistic reward, so that the exchange rate against KL is the other methods' too."""
    good = log_sigmoid_centered(inputs.properties["holistic"], inputs.references["holistic"])
    return holistic_rewards(good, inputs.response_mask, holistic_weight=inputs.holistic_weight)


METHOD = register_method(
    Method(
        name="log_sigmoid",
        description="the holistic reward, log-sigmoid-centred at a reference level of its prompt",
        compose=compose,
        reads_aspect=False,
        properties="holistic",
    )
)
