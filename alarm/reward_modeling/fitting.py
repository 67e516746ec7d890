"""The training loop of all reward models: TRL's `RewardTrainer` for preferences, transformers' `Trainer` for labels."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from alarm.scorers.networks import Batch, marked_logits

if TYPE_CHECKING:
    from alarm.scorers.reader import Reader
    from alarm.settings import RewardModelSettings

HEAD_RATE, POLICY_RATE = 10.0, 0.1
"""Multiples of the learning rate for an encoder-decoder's new head, which starts from nothing, and for what lies below
where that reads what the policy read (its likelihoods are worth keeping; faster fitting of noisy labels loses them)."""
CALIBRATION_ROWS = 100
"""Training rows on which an encoder-decoder's likelihood features are standardised."""
OnStep = Callable[[int, int, float], None]
"""Called with (step, steps, loss) after every forward pass of training."""


def fit(
    reader: Reader,
    rows: Sequence[Any],
    *,
    collate: Callable[[list[Any]], tuple[Batch, dict[str, Tensor]]],
    loss: Callable[..., Tensor],
    rows_per_step: int,
    settings: RewardModelSettings,
    device: str = "cpu",
    on_step: OnStep | None = None,
    preferences: bool = False,
) -> list[float]:
    """Train `reader.network` in place with AdamW, linear warm-up over a tenth of the steps and cosine decay.

    The trainers seed the global random generators; torch's are put back afterwards.

    Args:
        rows: training examples, of any type that `collate` understands.
        collate: makes a batch and the loss's further arguments from some rows.
        loss: called with the logits [M, labels] at the batch's marks and those arguments; returns a scalar.
        rows_per_step: rows of one optimiser step.
        preferences: train with TRL's `RewardTrainer`.
    Returns:
        The loss of every step.
    Raises:
        ValueError: the loss is NaN or infinite.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

    reader.network.to(device)
    base, arguments_type, further = Trainer, TrainingArguments, {}
    if preferences:
        from trl import RewardConfig, RewardTrainer

        base, arguments_type = RewardTrainer, RewardConfig
        further = {"max_length": None}  # the reader has cut what is too long
    if reader.encoder_decoder:
        reader.network.calibrate(collate(list(rows[:CALIBRATION_ROWS]))[0])
    losses: list[float] = []

    class MarkTrainer(base):
        """Calls `loss` on the logits at the marks; the margin that TRL would pass to the network stays here."""

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            batch = Batch(**{name: inputs.pop(name) for name in Batch.__dataclass_fields__})
            logits = marked_logits(model, batch)
            value = loss(logits, **inputs)
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                raise ValueError(
                    f"the {reader.form.kind} model's loss is {losses[-1]} at step {len(losses)} of {settings.steps}; "
                    "lower its learning rate"
                )
            if on_step is not None:
                on_step(len(losses), settings.steps, losses[-1])
            return (value, logits) if return_outputs else value

    def collate_rows(indices: list[dict[str, int]]) -> dict[str, Tensor]:
        batch, further_arguments = collate([rows[index["chosen_ids"]] for index in indices])
        return {**vars(batch), **further_arguments}

    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng():
        trainer = MarkTrainer(
            model=reader.network,
            args=arguments_type(
                output_dir=scratch,
                max_steps=settings.steps,
                per_device_train_batch_size=min(rows_per_step, len(rows)),
                learning_rate=settings.learning_rate,
                seed=settings.seed,
                remove_unused_columns=False,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=torch.device(device).type == "cpu",
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
                **further,
            ),
            data_collator=collate_rows,
            # Rows are looked up by index; TRL takes a dataset with these two columns as tokenised.
            train_dataset=Dataset.from_dict({name: range(len(rows)) for name in ("chosen_ids", "rejected_ids")}),
            processing_class=reader.tokenizer,
            optimizers=_optimizer(reader, settings),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.train()
    reader.network.eval()
    return losses


def _optimizer(reader: Reader, settings: RewardModelSettings) -> tuple[Optimizer, LRScheduler]:
    from transformers import get_cosine_schedule_with_warmup

    network, rate = reader.network, settings.learning_rate
    if reader.encoder_decoder:
        body_rate = rate if reader.form.question_only else POLICY_RATE * rate
        groups = [
            {"params": list(network.head.parameters()), "lr": HEAD_RATE * rate},
            {"params": list(network.body.parameters()), "lr": body_rate},
        ]
    else:
        groups = [{"params": list(network.parameters())}]
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=0.0)
    return optimizer, get_cosine_schedule_with_warmup(optimizer, settings.steps // 10, settings.steps)
