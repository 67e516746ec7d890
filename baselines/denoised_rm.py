"""Denoised reward model: the holistic reward of a model trained with margins and soft labels (arXiv:2401.06080)."""

from dataclasses import replace

from alarm import register_method
from baselines import holistic_only

METHOD = register_method(
    replace(
        holistic_only.METHOD,
        name="denoised_rm",
        description="the holistic reward of a model denoised by soft labels and margins",
        recipe="soft_label_margin",
    )
)
