"""Small ready-made reward models in the layouts in which the large ones are published, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    LongformerTokenizerFast,
    PreTrainedTokenizerFast,
)

HIDDEN, HEADS, LAYERS, FEEDFORWARD = 16, 2, 2, 32
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
CHAT = (
    "{% for turn in messages %}<s>{{ turn['role'] }}: {{ turn['content'] | trim }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)


def _bytes() -> dict[str, int]:
    """Ids of all byte-level characters, after the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {piece: i for i, piece in enumerate((*SPECIAL, *alphabet))}


def byte_tokenizer(*, pad: str | None = None, chat: str | None = None, begin: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer with one token a byte and, as Llama's, a start token before a text and none after it."""
    backend = Tokenizer(models.BPE(vocab=_bytes(), merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if begin:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A </s> $B:1", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": pad}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **{k: v for k, v in names.items() if v})
    tokenizer.chat_template = chat
    return tokenizer


def ultra_rm(folder: Path, *, seed: int = 0, layout: str = "sharded", changes: dict[str, Tensor | None] | None = None):
    """UltraRM's layout: a Llama configuration, its weights below `model.`, and `regression_head.weight`.

    `layout` is how the weights are kept: `safetensors`, `bin`, or `sharded` as the published model, in two .bin files.
    `changes` replace weights by name; None removes one. Returns the folder.
    """
    config = {
        "architectures": ["LlamaRewardModel"],
        "model_type": "llama",
        "vocab_size": len(_bytes()),
        "hidden_size": HIDDEN,
        "intermediate_size": FEEDFORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
    }
    shapes = {"model.embed_tokens.weight": (len(_bytes()), HIDDEN), "model.norm.weight": (HIDDEN,)}
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"}
        shapes |= {f"{layer}.mlp.{name}_proj.weight": (FEEDFORWARD, HIDDEN) for name in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj.weight": (HIDDEN, FEEDFORWARD)}
        shapes |= {f"{layer}.{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
        # As the transformers of its time stored it; nothing reads it any more.
        shapes |= {f"{layer}.self_attn.rotary_emb.inv_freq": (HIDDEN // HEADS // 2,)}
    shapes |= {"regression_head.weight": (1, HIDDEN)}
    _write(folder, config, _drawn(shapes, seed), layout, changes)
    byte_tokenizer().save_pretrained(folder)
    return folder


def longformer(
    folder: Path,
    *,
    labels: tuple[str, ...] | None,
    seed: int = 0,
    layout: str = "bin",
    window: int = 16,
    changes: dict[str, Tensor | None] | None = None,
):
    """Fine-Grained RLHF's layout: its own Longformer classes' names, for tokens with `labels` or for whole sequences.

    The names are written out here, so that a test which loads them compares two sources.
    """
    outputs = len(labels) if labels else 1
    config = {
        "architectures": [f"LongformerFor{'Token' if labels else 'Sequence'}Classification"],
        "model_type": "longformer",
        "attention_window": [window] * LAYERS,
        "vocab_size": len(_bytes()),
        "hidden_size": HIDDEN,
        "intermediate_size": FEEDFORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 1026,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "hidden_act": "gelu",
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
        "id2label": {str(i): name for i, name in enumerate(labels or ("LABEL_0",))},
        "label2id": {name: i for i, name in enumerate(labels or ("LABEL_0",))},
    }
    base = "longformer.embeddings"
    shapes: dict[str, tuple[int, ...]] = {
        f"{base}.word_embeddings.weight": (len(_bytes()), HIDDEN),
        f"{base}.position_embeddings.weight": (1026, HIDDEN),
        f"{base}.token_type_embeddings.weight": (1, HIDDEN),
        **_affine(f"{base}.LayerNorm", HIDDEN),
    }
    for i in range(LAYERS):
        layer = f"longformer.encoder.layer.{i}"
        for name in ("query", "key", "value", "query_global", "key_global", "value_global"):
            shapes |= _affine(f"{layer}.attention.self.{name}", HIDDEN, HIDDEN)
        shapes |= _affine(f"{layer}.attention.output.dense", HIDDEN, HIDDEN)
        shapes |= _affine(f"{layer}.attention.output.LayerNorm", HIDDEN)
        shapes |= _affine(f"{layer}.intermediate.dense", FEEDFORWARD, HIDDEN)
        shapes |= _affine(f"{layer}.output.dense", HIDDEN, FEEDFORWARD)
        shapes |= _affine(f"{layer}.output.LayerNorm", HIDDEN)
    if labels:
        shapes |= _affine("classifier", outputs, HIDDEN)
    else:
        shapes |= _affine("classifier.dense", HIDDEN, HIDDEN) | _affine("classifier.out_proj", outputs, HIDDEN)
    _write(folder, config, _drawn(shapes, seed), layout, changes)
    _save_roberta_tokenizer(folder, prefix_space=bool(labels))
    return folder


def classifier(folder: Path, model_type: str, *, outputs: int = 1, seed: int = 0, head: bool = True, **config):
    """A checkpoint of `AutoModelForSequenceClassification` as transformers saves it, without tokenizer.

    Without `head`, only the network below it is saved, as of a model that was never trained as a classifier.
    """
    sizes = {
        "vocab_size": len(_bytes()),
        "hidden_size": HIDDEN,
        "intermediate_size": FEEDFORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 1024,
        "num_labels": outputs,
    }
    torch.manual_seed(seed)
    network = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(model_type, **sizes | config))
    with torch.no_grad():  # fresh weights are so small that all texts score alike
        for weight in network.parameters():
            weight.normal_(std=0.4)
    (network if head else network.base_model).save_pretrained(folder)
    return folder


def _affine(name: str, rows: int, columns: int | None = None) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns) if columns else (rows,), f"{name}.bias": (rows,)}


def _drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.4 for name, shape in shapes.items()}


def _write(folder: Path, config, weights, layout: str, changes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name, value in (changes or {}).items():
        weights.pop(name, None)
        if value is not None:
            weights[name] = value
    if layout == "safetensors":
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif layout == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        names = list(weights)
        parts = {"pytorch_model-00001-of-00002.bin": names[:5], "pytorch_model-00002-of-00002.bin": names[5:]}
        for file, held in parts.items():
            torch.save({name: weights[name] for name in held}, folder / file)
        index = {"metadata": {}, "weight_map": {name: file for file, held in parts.items() for name in held}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def _save_roberta_tokenizer(folder: Path, *, prefix_space: bool) -> None:
    """Files as of RoBERTa: a vocabulary, merges (none here), and the converted tokenizer."""
    (folder / "vocab.json").write_text(json.dumps(_bytes()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    LongformerTokenizerFast(
        vocab_file=str(folder / "vocab.json"),
        merges_file=str(folder / "merges.txt"),
        add_prefix_space=prefix_space,
        model_max_length=1024,
    ).save_pretrained(folder)
