"""A plugin for pytest that cuts the workloads of scale `paper` down, so that every line of that path runs on a CPU.

The kinds of networks, adapters, dtypes and scorers stay; sizes and lengths shrink.
"""

from __future__ import annotations

from dataclasses import replace

from transformers import LlamaConfig, LongformerConfig, MT5Config, PretrainedConfig, T5Config

from benchmarks.throughput.workloads import WORKLOADS, Workload

T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
NETWORKS = {
    "t5": T5Config(**T5, vocab_size=300),
    "mt5": MT5Config(**T5, vocab_size=400),
    "llama": LlamaConfig(
        vocab_size=200,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    ),
    "longformer": LongformerConfig(
        vocab_size=250,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        attention_window=16,
        max_position_embeddings=258,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        sep_token_id=2,
    ),
}


def small(config: PretrainedConfig) -> PretrainedConfig:
    """A network of the same kind."""
    return NETWORKS[config.model_type]


def shrunk(workload: Workload) -> Workload:
    """The same workload with small networks and short texts."""
    ppo = replace(workload.ppo, batch_size=4, mini_batch_size=2, max_prompt_tokens=24, max_new_tokens=12)
    training = workload.training and replace(
        workload.training,
        settings=replace(workload.training.settings, steps=2, batch_size=2),
        recipes=replace(workload.training.recipes, meta_steps=1),
        pairs=8,
    )
    return replace(
        workload,
        network=small(workload.network),
        holistic=small(workload.holistic),
        aspects=workload.aspects and small(workload.aspects),
        ppo=ppo,
        training=training,
        rounds=1,
    )


def pytest_configure() -> None:
    WORKLOADS["paper"] = tuple(map(shrunk, WORKLOADS["paper"]))
    from benchmarks.throughput import machine

    machine.MATRIX_SIZE = 256
