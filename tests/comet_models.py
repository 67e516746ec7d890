"""Small COMET models, built and trained for a moment through COMET's own classes, with no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from alarm.reward_modeling.direct_assessment import read_assessments, read_segments
from alarm.scorers.comet import quiet
from alarm.tasks.wmt import WMT
from alarm.tasks.worlds.caption_quality import gold_quality
from alarm.tasks.worlds.captions import write_world

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
Row = Mapping[str, str | float]
"""A translation with `src`, `mt`, `ref` and a `score`."""


def generated_rows(directory: Path, count: int, *, seed: int) -> list[Row]:
    """Captions of a generated world that is written to `directory`, some words replaced, scored by gold quality."""
    write_world(directory, seed=seed, sizes={"train": count, "val": 1, "test_2016_flickr": 1})
    examples = WMT(directory).split("train")
    words = sorted({word for example in examples for word in example.reference.split()})
    generator = np.random.default_rng(seed)
    rows = []
    for example in examples:
        share = generator.choice([0.0, 0.2, 0.5])
        text = " ".join(
            str(generator.choice(words)) if generator.random() < share else word for word in example.reference.split()
        )
        quality = gold_quality(example.reference, text)
        rows.append({"src": example.fields["source"], "mt": text, "ref": example.reference, "score": quality})
    return rows


def human_rows(folder: Path, count: int) -> list[Row]:
    """Short WMT22 translations, German to English, with their human scores."""
    segments = read_segments(folder / "segments.jsonl.gz")
    rows = []
    for assessment in read_assessments(folder / "human_da.jsonl.gz"):
        segment = segments[assessment.segment]
        text = segment.translation(assessment.system)
        if text and len(segment.source) < 60 and len(rows) < count:
            rows.append({"src": segment.source, "mt": text, "ref": segment.references["B"], "score": assessment.z})
    return rows


def train_comet(directory: Path, rows: Sequence[Row], *, referenceless: bool = False, epochs: int = 3) -> Path:
    """Train a model with a two-layer XLM-R on the rows; returns the folder in the layout of published models."""
    with quiet():
        import pytorch_lightning
        from comet.models import ReferencelessRegression, RegressionMetric

    encoder = _encoder(directory / "encoder", [str(row[side]) for row in rows for side in ("src", "mt", "ref")])
    torch.manual_seed(0)
    model = (ReferencelessRegression if referenceless else RegressionMetric)(
        pretrained_model=str(encoder),
        encoder_model="XLM-RoBERTa",
        local_files_only=True,
        nr_frozen_epochs=0,
        keep_embeddings_frozen=False,
        layer_norm=False,
        hidden_sizes=[64, 32],
        train_data=[],
        validation_data=[],
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generator = np.random.default_rng(0)
    for _ in range(epochs):
        order = generator.permutation(len(rows))
        for start in range(0, len(order), 32):
            inputs, target = model.prepare_sample([rows[i] for i in order[start : start + 32]], stage="fit")
            optimizer.zero_grad()
            model.compute_loss(model(**inputs), target).backward()
            optimizer.step()
    with quiet():
        trainer = pytorch_lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
        trainer.strategy.connect(model)
        trainer.save_checkpoint(directory / "checkpoints" / "model.ckpt", weights_only=True)
    (directory / "hparams.yaml").write_text(yaml.safe_dump(dict(model.hparams)))
    return directory


def _encoder(directory: Path, texts: Sequence[str]) -> Path:
    """An untrained XLM-R of two layers, its tokenizer trained on the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=600, special_tokens=list(SPECIAL), unk_token="<unk>", show_progress=False, max_piece_length=12
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    XLMRobertaTokenizerFast(tokenizer_object=tokenizer).save_pretrained(directory)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=130,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(directory)
    return directory
