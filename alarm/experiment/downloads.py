"""What an experiment reads that is not its own: repositories of the hub, QA-Feedback's files, LanguageTool."""

from __future__ import annotations

import re
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alarm.scorers import language_tool
from alarm.scorers.checkpoints import CONFIG, TEXT_ENDINGS, WEIGHTS, is_path, weight_files
from alarm.scorers.external import repository
from alarm.settings import Preset
from alarm.store import MANIFEST, artifact_key
from alarm.tasks import europarl
from alarm.tasks.qa_feedback_files import ADDRESS, COMMIT, RECORDS, STORED, STORED_INPUTS

TIMEOUT = 20
"""Seconds to wait for an answer."""
COMET_FILES = ("hparams.yaml", "checkpoints/model.ckpt")


@dataclass(frozen=True)
class Found:
    """What the other side says of a download."""

    commit: str
    gigabytes: float


@dataclass(frozen=True)
class Download(ABC):
    """Something that is fetched where it is not on this machine."""

    purpose: str
    name: str
    revision: str | None

    otherwise = "name a folder with it"
    """What else one can do where it cannot be fetched."""

    @property
    @abstractmethod
    def at_hand(self) -> bool:
        """Whether it is on this machine, whole; nobody is asked."""

    def look_up(self) -> Found | None:
        """Ask for commit and size; None where that cannot be done, as with `HF_HUB_OFFLINE`."""
        from huggingface_hub.constants import HF_HUB_OFFLINE

        return None if HF_HUB_OFFLINE else _asked(self)

    @abstractmethod
    def ask(self) -> Found:
        """As `look_up`, of the network; raises whatever goes wrong."""


@dataclass(frozen=True)
class HubModel(Download):
    """A model of the hub in the format of transformers, or of COMET."""

    comet: bool = False

    @property
    def at_hand(self) -> bool:
        probe = COMET_FILES[0] if self.comet else CONFIG
        folder = _cached(self.name, probe, self.revision, "model")
        if folder is None or self.comet:
            return folder is not None and (folder / COMET_FILES[1]).is_file()
        try:
            return bool(weight_files(folder))
        except ValueError:
            return False

    def ask(self) -> Found:
        commit, sizes = _hub(self.name, self.revision, "model")
        read = sizes if self.comet else model_files(sizes)  # COMET fetches a repository whole
        return Found(commit, sum(sizes[name] for name in read) / 1e9)


@dataclass(frozen=True)
class Europarl(Download):
    """One pair of languages of a data set on the hub."""

    configuration: str

    otherwise = "put it into the folder of --data"

    @property
    def at_hand(self) -> bool:
        probe = f"{self.configuration}/train-00000-of-00001.parquet"
        return _cached(self.name, probe, self.revision, "dataset") is not None

    def ask(self) -> Found:
        commit, sizes = _hub(self.name, self.revision, "dataset")
        read = [size for name, size in sizes.items() if name.startswith(f"{self.configuration}/")]
        return Found(commit, sum(read) / 1e9)


@dataclass(frozen=True)
class QAFeedback(Download):
    """QA-Feedback's files, which end in the store."""

    store: Path

    otherwise = "put them into the folder of --data"

    @property
    def at_hand(self) -> bool:
        return (self.store / STORED / artifact_key(STORED, STORED_INPUTS) / MANIFEST).is_file()

    def ask(self) -> Found:
        total = 0
        for stem in RECORDS:
            request = urllib.request.Request(f"{ADDRESS}/{stem}.json", method="HEAD")
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                total += int(answer.headers["Content-Length"] or 0)
        return Found(COMMIT, total / 1e9)


@dataclass(frozen=True)
class LanguageTool(Download):
    """LanguageTool's archive, which its Python package fetches; its checker says whether that can be done."""

    @property
    def at_hand(self) -> bool:
        return language_tool.downloaded()

    def ask(self) -> Found:
        raise LookupError("only the package knows which release it fetches, and from where")


def downloads(preset: Preset, *, data: Path | None, store: Path) -> list[Download]:
    """All that is fetched for an experiment; what is a folder on this machine is not."""
    reward, found = preset.reward_models, []
    if preset.policy.checkpoint and not is_path(preset.policy.checkpoint):
        found.append(HubModel("policy", preset.policy.checkpoint, preset.policy.revision))
    if reward.holistic_model:
        scheme = reward.holistic_model.partition(":")[0]
        name, revision = repository(reward.holistic_model)
        if not is_path(name):
            found.append(HubModel(f"holistic reward ({scheme})", name, revision, comet=scheme == "comet"))
    start = aspect_start(preset)
    if start and not is_path(start):
        found.append(HubModel("start of the aspect models", start, None))
    language = preset.data.source_language
    if preset.data.corpus == "europarl" and not europarl.local_files(data, language):
        pair = europarl.configuration(language)
        found.append(Europarl("Europarl", europarl.REPOSITORY, europarl.REVISION, pair))
    if preset.data.corpus == "qa_feedback" and data is None:
        found.append(QAFeedback("QA-Feedback", "allenai/FineGrainedRLHF", COMMIT, store))
    if preset.task == "wmt" and reward.grammar_checker == "languagetool":
        found.append(LanguageTool("grammar checker", "LanguageTool", "its package's"))
    return found


def aspect_start(preset: Preset) -> str | None:
    """The checkpoint that aspect models are trained from; None where none are, or from the policy."""
    used = preset.task == "long_form_qa" and not preset.reward_models.aspect_models
    return preset.aspect_training.checkpoint if used else None


def model_files(names: Mapping[str, int] | list[str]) -> list[str]:
    """Of a repository's files those that transformers reads: weights in one format, configuration, tokenizer.

    >>> model_files(["config.json", "model.safetensors", "pytorch_model.bin", "flax_model.msgpack", "README.md"])
    ['model.safetensors', 'config.json']
    >>> model_files(["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json", "onnx/model.onnx"])
    ['pytorch_model.bin.index.json', 'pytorch_model-00001-of-00001.bin']
    """
    weights = [name for name in WEIGHTS if name in names][:1]
    if weights and weights[0].endswith(".index.json"):
        stem, ending = weights[0].removesuffix(".index.json").rsplit(".", 1)
        weights += [name for name in names if re.fullmatch(rf"{stem}-\d+-of-\d+\.{ending}", name)]
    others = [
        name for name in names if "/" not in name and name.endswith(TEXT_ENDINGS) and not name.endswith(".index.json")
    ]
    return [*weights, *others]


@cache
def _asked(download: Download) -> Found | None:
    try:
        return download.ask()
    except Exception:  # whatever the reason, the answer is that nobody can be asked
        return None


def _cached(name: str, probe: str, revision: str | None, kind: str) -> Path | None:
    """The folder of the hub's cache with the file `probe` of a repository."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, probe, revision=revision, repo_type=kind)
    return Path(found).parent if isinstance(found, str) else None


def _hub(name: str, revision: str | None, kind: str) -> tuple[str, dict[str, int]]:
    """A repository's commit, and the bytes of its files by name."""
    from huggingface_hub import HfApi

    info = HfApi().repo_info(name, repo_type=kind, revision=revision, files_metadata=True, timeout=TIMEOUT)
    return info.sha, {file.rfilename: file.size or 0 for file in info.siblings}
