"""The holistic reward with hardly any KL penalty, to show over-optimisation (after Gao et al., arXiv:2210.10760)."""

from dataclasses import replace

from alarm import register_method
from baselines import holistic_only

METHOD = register_method(
    replace(
        holistic_only.METHOD,
        name="holistic_low_kl",
        description="the holistic reward with hardly any KL penalty, to show over-optimisation",
        ppo={"initial_kl_coef": 0.001, "learning_rate": 1e-3, "iterations": 60},
    )
)
