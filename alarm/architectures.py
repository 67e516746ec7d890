"""The shapes of the papers' checkpoints, as their published configurations have them, for estimates and benchmarks.

With these a network of the same size can be built, with random weights, where the checkpoint cannot be had.
"""

from __future__ import annotations

from functools import cache

from transformers import AutoConfig, LlamaConfig, LongformerConfig, MT5Config, PretrainedConfig, T5Config


def t5_large() -> T5Config:
    """t5-large: 737,668,096 weights."""
    return T5Config(
        d_model=1024, d_kv=64, d_ff=4096, num_layers=24, num_heads=16, vocab_size=32_128, decoder_start_token_id=0
    )


def mt5_base() -> MT5Config:
    """google/mt5-base: 582,401,280 weights, two thirds of them embeddings."""
    return MT5Config(
        d_model=768, d_kv=64, d_ff=2048, num_layers=12, num_heads=12, vocab_size=250_112, decoder_start_token_id=0
    )


def llama_13b() -> LlamaConfig:
    """Llama 2 13B, the network below UltraRM-13B's head: 13.0 billion weights with an output layer, 12.85 without."""
    return LlamaConfig(
        vocab_size=32_001,
        hidden_size=5120,
        intermediate_size=13_824,
        num_hidden_layers=40,
        num_attention_heads=40,
        max_position_embeddings=2048,
    )


def longformer_base() -> LongformerConfig:
    """allenai/longformer-base-4096: 148,659,456 weights."""
    return LongformerConfig(
        vocab_size=50_265,
        attention_window=512,
        max_position_embeddings=4098,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        sep_token_id=2,
        layer_norm_eps=1e-5,
    )


PUBLISHED = {
    "t5-large": t5_large,
    "google/mt5-base": mt5_base,
    "openbmb/UltraRM-13b": llama_13b,
    "allenai/longformer-base-4096": longformer_base,
}


@cache
def configuration(checkpoint: str, revision: str | None = None) -> PretrainedConfig:
    """The configuration of a checkpoint by name or path; of the papers' checkpoints also without a network.

    Asked for once: without a network every question waits for the hub to fail.

    Raises:
        ValueError: it is neither at hand nor one of the papers'.
    """
    try:
        return AutoConfig.from_pretrained(checkpoint, revision=revision)
    except (OSError, ValueError) as error:
        if checkpoint in PUBLISHED:
            return PUBLISHED[checkpoint]()
        raise ValueError(
            f"the configuration of {checkpoint} cannot be read ({str(error).splitlines()[0]}); name a folder with a "
            "checkpoint, or allow access to the hub"
        ) from error
