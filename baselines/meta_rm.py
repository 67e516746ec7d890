"""MetaRM: the holistic reward of a model that is adapted to the policy's samples between rounds (arXiv:2401.06080)."""

from dataclasses import replace

from alarm import register_method
from baselines import holistic_only

METHOD = register_method(
    replace(
        holistic_only.METHOD,
        name="meta_rm",
        description="the holistic reward of a model adapted between rounds of PPO (MetaRM)",
        recipe="meta",
    )
)
