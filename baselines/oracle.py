"""The control: gold quality in the place of the holistic reward. Where it does not help, nothing else means much."""

from dataclasses import replace

from alarm import register_method
from baselines import holistic_only

METHOD = register_method(
    replace(
        holistic_only.METHOD,
        name="oracle",
        description="gold quality itself as the reward: a control that must succeed",
        recipe="gold",
    )
)
