"""What an experiment needs before it can start: downloads, memory, tools; and what of it is missing on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alarm.architectures import configuration
from alarm.memory import OVERHEAD, Memory, policy_memory, scorer_memory, sft_memory, unit_training_memory
from alarm.scorers import external, longformer, reader
from alarm.scorers.external import repository, token_limit
from alarm.scorers.grammar import CHECKERS
from alarm.settings import Preset
from alarm.tasks import europarl
from alarm.tasks.long_form_qa import FILES as QA_FILES
from alarm.tasks.qa_feedback import FEEDBACK_FILES, data_folder, find_file
from alarm.text.splitters import SPLITTERS

GIB = 2**30


@dataclass(frozen=True)
class Download:
    """A repository on the hub that the experiment reads."""

    purpose: str
    repository: str
    revision: str | None
    kind: str
    """`model` or `dataset`."""
    probe: str
    """A file it must have; in the local cache, it tells that the repository is at hand."""

    @property
    def at_hand(self) -> bool:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(self.repository, self.probe, revision=self.revision, repo_type=self.kind)
        return isinstance(cached, str)


@dataclass(frozen=True)
class Found:
    """What the hub says of a repository."""

    commit: str
    gigabytes: float


def downloads(preset: Preset, data: Path | None) -> list[Download]:
    """Models and data sets that are read from the hub; what is a folder on this machine is none."""
    models = {"policy": (preset.policy.checkpoint, preset.policy.revision)}
    if preset.reward_models.holistic_model:
        scheme = preset.reward_models.holistic_model.partition(":")[0]
        models[f"holistic reward ({scheme})"] = repository(preset.reward_models.holistic_model)
    if preset.task == "long_form_qa" and not preset.reward_models.aspect_models:
        models["start of the aspect models"] = (preset.aspect_training.checkpoint, None)
    found = [
        Download(purpose, name, revision, "model", "hparams.yaml" if "(comet)" in purpose else "config.json")
        for purpose, (name, revision) in models.items()
        if name and not Path(name).exists()
    ]
    language = preset.data.source_language
    if preset.data.corpus == "europarl" and not europarl.local_files(data, language):
        probe = f"{europarl.configuration(language)}/train-00000-of-00001.parquet"
        found.append(Download("Europarl", europarl.REPOSITORY, europarl.REVISION, "dataset", probe))
    return found


@cache
def look_up(download: Download) -> Found | None:
    """Ask the hub for commit and size; None where it cannot be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return None
    try:
        info = HfApi().repo_info(
            download.repository,
            repo_type=download.kind,
            revision=download.revision,
            files_metadata=True,
            timeout=20,
        )
    except Exception:  # whatever the reason, the answer is that the hub cannot be asked
        return None
    return Found(info.sha, sum(file.size or 0 for file in info.siblings) / 1e9)


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


def missing(preset: Preset, *, data: Path | None, device: str) -> Iterator[str]:
    """A sentence for everything that a run could not do without and that is not here."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        yield "torch sees no CUDA device: install a CUDA build of torch on a machine with a GPU, or name --device cpu"
    yield from _missing_data(preset, data)
    for download in downloads(preset, data):
        if not download.at_hand and look_up(download) is None:
            yield (
                f"{download.repository} ({download.purpose}) is neither on this machine nor can the hub be asked for "
                "it: allow access to the hub, fetch it there first, or name a folder with it"
            )
    tool = (
        CHECKERS[preset.reward_models.grammar_checker]
        if preset.task == "wmt"
        else SPLITTERS[preset.reward_models.sentence_splitter]
    )
    try:
        tool.require()
    except ValueError as error:
        yield str(error)
    try:
        first = initial_memory(preset)
        needed = max(total_memory(memory(preset)), first.total if first else 0)
    except ValueError as error:
        yield str(error)
        return
    if not device.startswith("cuda") or torch.cuda.is_available():
        there = device_memory(device)
        if needed > there:
            yield (
                f"the models need about {needed / GIB:.1f} GiB and {device} has {there / GIB:.1f} GiB: use a larger "
                "device, smaller batches or smaller models"
            )


def _missing_data(preset: Preset, data: Path | None) -> Iterator[str]:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if preset.data.corpus == "qa_feedback":
        if data is None:
            if HF_HUB_OFFLINE:
                yield (
                    "QA-Feedback's files are fetched from their repository, and HF_HUB_OFFLINE says there is no "
                    "network: name a folder with them by --data"
                )
            return
        folder = data_folder(data)
        names = [*QA_FILES.values(), *([] if preset.reward_models.aspect_models else FEEDBACK_FILES)]
        absent = [f"{name}.json" for name in names if find_file(folder, name) is None]
        if absent:
            yield f"{folder} lacks {', '.join(absent)} of QA-Feedback: copy them there"
