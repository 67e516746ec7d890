"""The training loop of all reward models: TRL's `RewardTrainer` for preferences, transformers' `Trainer` for labels."""

from __future__ import annotations

import gc
import math
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from alarm.scorers.networks import Batch, marked_logits, marked_scores_and_states

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from alarm.scorers.reader import Reader
    from alarm.settings import RewardModelSettings

CALIBRATION_ROWS = 100
"""Training rows on which an encoder-decoder's likelihood features are standardised."""
OnStep = Callable[[int, int, float], None]
"""Called with (step, steps, loss) after every forward pass of training."""
OnCheckpoint = Callable[[int], None]
"""Called with the number of optimiser steps taken."""


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
    checkpoints: Sequence[int] = (),
    on_checkpoint: OnCheckpoint | None = None,
    preferences: bool = False,
    auxiliary: nn.Module | None = None,
) -> list[float]:
    """Train `reader.network` in place with AdamW, linear warm-up over a tenth of the steps and cosine decay.

    The trainers seed the global random generators; torch's are put back afterwards.

    Args:
        rows: training examples, of any type that `collate` understands.
        collate: makes a batch and the loss's further arguments from some rows.
        loss: called with the logits [M, labels] at the batch's marks and those arguments; returns a scalar.
        rows_per_step: rows of one optimiser step.
        checkpoints: numbers of optimiser steps, in [0, settings.steps], after which `on_checkpoint` is called with the
            network in evaluation mode; what it does with random numbers does not disturb the training.
        preferences: train with TRL's `RewardTrainer`.
        auxiliary: a further loss on sequence scores, called with the hidden states [M, H] they are read from and the
            arguments of `loss`; its parameters are learned at the rate of a new head.
    Returns:
        The loss of every step, without the auxiliary one.
    Raises:
        ValueError: the loss is NaN or infinite, or there are checkpoints beyond the last step or for nobody.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

    if any(not 0 <= step <= settings.steps for step in checkpoints) or (checkpoints and on_checkpoint is None):
        raise ValueError(
            f"checkpoints must lie in 0..{settings.steps}, the steps of the training, and need on_checkpoint; "
            f"got {list(checkpoints)}"
        )
    reader.network.to(device)
    if auxiliary is not None:
        auxiliary.to(device)
    base = Trainer
    if preferences:
        from trl import RewardTrainer

        base = RewardTrainer
    _spare_imports()
    if reader.encoder_decoder and reader.network.config.reads_likelihoods:
        reader.network.calibrate(collate(list(rows[:CALIBRATION_ROWS]))[0])
    losses: list[float] = []

    class MarkTrainer(base):
        """Calls `loss` on the logits at the marks; the margin that TRL would pass to the network stays here."""

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            batch = Batch(**{name: inputs.pop(name) for name in Batch.__dataclass_fields__})
            if auxiliary is None:
                logits = marked_logits(model, batch)
                total = value = loss(logits, **inputs)
            else:
                auxiliary.zero_grad()  # the trainer clears the gradients of the network only
                logits, states = marked_scores_and_states(model, batch)
                value = loss(logits, **inputs)
                total = value + auxiliary(states, **inputs)
            losses.append(value.item())
            if not math.isfinite(total.item()):
                raise ValueError(
                    f"the {reader.form.kind} model's loss is {total.item()} at step {len(losses)} of {settings.steps}; "
                    "lower its learning rate"
                )
            if on_step is not None:
                on_step(len(losses), settings.steps, losses[-1])
            return (total, logits) if return_outputs else total

    class Checkpoints(TrainerCallback):
        """Step 0 is the network before training."""

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step in checkpoints:
                with _evaluation(reader.network):
                    on_checkpoint(state.global_step)

        on_train_begin = on_step_end

    def collate_rows(indices: list[dict[str, int]]) -> dict[str, Tensor]:
        batch, further_arguments = collate([rows[index["chosen_ids"]] for index in indices])
        return {**vars(batch), **further_arguments}

    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng():
        trainer = MarkTrainer(
            model=reader.network,
            args=training_arguments(
                settings, preferences=preferences, rows=min(rows_per_step, len(rows)), device=device, scratch=scratch
            ),
            data_collator=collate_rows,
            # Rows are looked up by index; TRL takes a dataset with these two columns as tokenised.
            train_dataset=Dataset.from_dict({name: range(len(rows)) for name in ("chosen_ids", "rejected_ids")}),
            processing_class=reader.tokenizer,
            optimizers=_optimizer(reader, settings, auxiliary),
            callbacks=[Checkpoints()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.train()
    reader.network.eval()
    return losses


def training_arguments(
    settings: RewardModelSettings, *, preferences: bool, rows: int, device: str, scratch: str
) -> TrainingArguments:
    """What a trainer (TRL's of `preferences`) is to do: steps of `rows` rows on one device, and nothing besides."""
    from transformers import TrainingArguments

    kind, further = TrainingArguments, {}
    if preferences:
        from trl import RewardConfig

        kind, further = RewardConfig, {"max_length": None}  # the reader has cut what is too long
    arguments = kind(
        output_dir=scratch,
        max_steps=settings.steps,
        per_device_train_batch_size=rows,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        remove_unused_columns=False,
        bf16=False,
        gradient_checkpointing=settings.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        use_cpu=torch.device(device).type == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **further,
    )
    # Where several GPUs are visible the trainer would take as many times the rows and cut them up (`DataParallel`),
    # marks and all. No argument says otherwise; this is the field that it reads.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def learning_rate_multiples(reader: Reader, settings: RewardModelSettings) -> list[tuple[list[nn.Parameter], float]]:
    """The network's parameters in groups, each with the multiple of the learning rate that it learns at."""
    network = reader.network
    if not reader.encoder_decoder:
        return [(list(network.parameters()), 1.0)]
    body = 1.0 if reader.form.question_only else settings.body_rate
    return [(list(network.head.parameters()), settings.head_rate), (list(network.body.parameters()), body)]


def _optimizer(
    reader: Reader, settings: RewardModelSettings, auxiliary: nn.Module | None
) -> tuple[Optimizer, LRScheduler]:
    from transformers import get_cosine_schedule_with_warmup

    rate = settings.learning_rate
    multiples = learning_rate_multiples(reader, settings)
    further = [] if auxiliary is None else list(auxiliary.parameters())
    if further:
        multiples.append((further, max(multiple for _, multiple in multiples)))
    groups = [{"params": parameters, "lr": multiple * rate} for parameters, multiple in multiples]
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=0.0, fused=True)
    return optimizer, get_cosine_schedule_with_warmup(optimizer, settings.steps // 10, settings.steps)


@cache
def _spare_imports() -> None:
    """Once per process: a trainer collects garbage when it ends, and need not look through all modules each time."""
    gc.collect()
    gc.freeze()


@contextmanager
def _evaluation(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; its mode and every random state are put back afterwards."""
    training, python_state, numpy_state = network.training, random.getstate(), np.random.get_state()
    network.eval()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        network.train(training)
