"""What an experiment needs before it can start: models, data, tools, memory; and what is missing on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from alarm.architectures import configuration
from alarm.experiment.downloads import LanguageTool, aspect_start, downloads
from alarm.memory import OVERHEAD, Memory, policy_memory, scorer_memory, sft_memory, unit_training_memory
from alarm.scorers import external, longformer, reader
from alarm.scorers.checkpoints import find_checkpoint, is_path
from alarm.scorers.external import check_holistic, repository, token_limit
from alarm.scorers.grammar import CHECKERS
from alarm.settings import Preset
from alarm.tasks.long_form_qa import FILES as QA_FILES
from alarm.tasks.qa_feedback import FEEDBACK_FILES, data_folder, find_file
from alarm.text.splitters import SPLITTERS

GIB = 2**30


@cache
def memory(preset: Preset) -> dict[str, Memory]:
    """Memory by model, on one GPU, from the end of supervised fine-tuning on: training of aspect models where they
    are trained, PPO and evaluation. Small models built from scratch are not counted, nor COMET.

    Raises:
        ValueError: the configuration of a checkpoint is not to be had.
    """
    needs = {}
    if preset.policy.checkpoint:
        policy = configuration(preset.policy.checkpoint, preset.policy.revision)
        needs[f"policy {preset.policy.checkpoint}"] = policy_memory(
            policy, preset.policy, preset.ppo, generated=preset.evaluation.batch_size
        )
    if preset.reward_models.holistic_model:
        scheme = preset.reward_models.holistic_model.partition(":")[0]
        name, revision = repository(preset.reward_models.holistic_model)
        if scheme != "comet":
            tokens = token_limit(preset.ppo.max_prompt_tokens + preset.ppo.max_new_tokens)
            needs[f"holistic {name}"] = scorer_memory(
                configuration(name, revision), dtype="bfloat16", batch_size=external.BATCH_SIZE, tokens=tokens
            )
    if preset.task == "long_form_qa":
        needs |= _aspect_memory(preset)
    return needs


def _aspect_memory(preset: Preset) -> dict[str, Memory]:
    """Memory of the aspect models: ready-made ones, or those trained from a checkpoint of their own.

    Texts are taken to be as long as the settings let the trained ones read; so long were those that the published ones
    were trained on.
    """
    training, folder = preset.aspect_training, preset.reward_models.aspect_models
    if folder is None and training.checkpoint is None:
        return {}
    if folder is not None:
        config = longformer.find_aspects(folder)["factuality"].config()
        loaded = {"dtype": "bfloat16", "batch_size": longformer.BATCH_SIZE}
    else:
        config = configuration(training.checkpoint)
        loaded = {"dtype": "float32", "batch_size": reader.BATCH_SIZE}
    one = scorer_memory(config, tokens=training.max_tokens, **loaded)
    phases = dict(one.phases)
    if folder is None:
        # The holistic model may be on the device by then; what is trained is there besides.
        trained = unit_training_memory(
            config,
            batch_size=max(training.unit_responses, training.pairs),
            tokens=training.max_tokens,
            gradient_checkpointing=training.gradient_checkpointing,
        )
        phases["training of one, optimiser included"] = sum(trained.resident.values()) + max(trained.phases.values())
    weights = len(longformer.SCORERS) * one.resident["weights"]
    return {"aspect models": Memory({f"weights of {len(longformer.SCORERS)}": weights}, phases)}


@cache
def initial_memory(preset: Preset) -> Memory | None:
    """Memory of supervised fine-tuning, which comes first; None where the policy is built from scratch."""
    if not preset.policy.checkpoint:
        return None
    return sft_memory(
        configuration(preset.policy.checkpoint, preset.policy.revision),
        preset.sft,
        preset.ppo,
        generated=preset.evaluation.batch_size,
    )


def total_memory(needs: dict[str, Memory]) -> int:
    """Bytes that all models need together: everything resident, and the largest of the phases."""
    resident = sum(sum(need.resident.values()) for need in needs.values())
    phases = [size for need in needs.values() for size in need.phases.values()]
    return round(OVERHEAD * (resident + max(phases, default=0)))


def device_memory(device: str) -> int:
    """Bytes of the device, or of this machine for `cpu`."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    import psutil

    return psutil.virtual_memory().total


def too_large(preset: Preset, device: str) -> str:
    """A sentence if the computed memory exceeds the device's, else nothing.

    Raises:
        ValueError: as `memory`.
    """
    first = initial_memory(preset)
    needed = max(total_memory(memory(preset)), first.total if first else 0)
    there = device_memory(device)
    if needed <= there:
        return ""
    return (
        f"the models need about {needed / GIB:.1f} GiB and {device} has {there / GIB:.1f} GiB: use a larger "
        "device, smaller batches or smaller models"
    )


def missing(preset: Preset, *, data: Path | None, device: str, store: Path) -> Iterator[str]:
    """A sentence for everything that a run could not do without and that is not here, nor to be fetched."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        yield "torch sees no CUDA device: install a CUDA build of torch on a machine with a GPU, or name --device cpu"
    yield from _missing_data(preset, data)
    for download in downloads(preset, data=data, store=store):
        if not download.at_hand and not isinstance(download, LanguageTool) and download.look_up() is None:
            yield (
                f"{download.name} ({download.purpose}) is neither on this machine nor can it be asked for: allow "
                f"access to the network, fetch it there first, or {download.otherwise}"
            )
    for check in (*_checks(preset), partial(_base, preset, store)):
        try:
            check()
        except ValueError as error:
            yield str(error)


def _base(preset: Preset, store: Path) -> None:
    """Raise `ValueError` where the base model of a generated world is missing, damaged or another world's."""
    from alarm.experiment.lab import lab_class
    from alarm.store import Store

    if preset.base is not None:
        lab_class(preset.task)(preset, Store(store)).base  # noqa: B018  the check is in the property


def _checks(preset: Preset) -> Iterator[Callable[[], object]]:
    """Calls that raise `ValueError`, with what to do, where a tool or a model in a folder cannot be used."""
    reward = preset.reward_models
    if preset.task == "wmt":
        yield CHECKERS[reward.grammar_checker].require
    else:
        yield SPLITTERS[reward.sentence_splitter].require
    for checkpoint in (preset.policy.checkpoint, aspect_start(preset)):
        if checkpoint and is_path(checkpoint):
            yield partial(find_checkpoint, checkpoint)
    if reward.holistic_model and is_path(repository(reward.holistic_model)[0]):
        yield partial(check_holistic, reward.holistic_model, [preset.task])
    if preset.task == "long_form_qa" and reward.aspect_models:
        yield from (partial(longformer.find_aspect, reward.aspect_models, kind) for kind in longformer.FOLDERS)


def _missing_data(preset: Preset, data: Path | None) -> Iterator[str]:
    if preset.data.corpus == "qa_feedback" and data is not None:
        folder = data_folder(data)
        names = [*QA_FILES.values(), *([] if preset.reward_models.aspect_models else FEEDBACK_FILES)]
        absent = [f"{name}.json" for name in names if find_file(folder, name) is None]
        if absent:
            yield f"{folder} lacks {', '.join(absent)} of QA-Feedback: copy them there"
