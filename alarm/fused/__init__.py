"""Hugging Face's T5 and GPT-2 computed faster: the same weights and functions, without padding and in fewer passes.

A fused network reads the modules of a `transformers` model and computes what the model computes, to rounding, values
and gradients. Only models in full precision without adapters qualify (`fused` says so), and while they drop out nothing
(`drops_out`); all others run as they are.
"""

from alarm.fused.network import WHOLE, drops_out, fuse_activations, fused

__all__ = ["WHOLE", "drops_out", "fuse_activations", "fused"]
