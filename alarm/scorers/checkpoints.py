"""Checkpoints of ready-made reward models: found by name or path before anything is trained, loaded without a gap."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from alarm.files import sha256_of

CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files that hold the weights or list the files that do, in the order in which transformers looks for them."""
TEXT_ENDINGS = (".json", ".txt", ".model", ".jinja")
"""Endings of the other files that decide a score: configuration, tokenizer, chat template."""
DERIVED = ("rotary_emb.inv_freq", "embeddings.position_ids")
"""Ends of names that older releases of transformers stored; a network computes these values, and has no place for them.
"""

Network = TypeVar("Network", bound=PreTrainedModel)


@dataclass(frozen=True)
class Checkpoint:
    """A model of the hub at one commit, or a folder in its format."""

    name: str
    """The hub's name, or the folder."""
    revision: str | None
    """The hub's commit; None for a folder."""

    @property
    def version(self) -> str:
        """For records: the name with its commit, or a sha256 over the files of a folder that decide a score."""
        if self.revision is not None:
            return f"{self.name}@{self.revision[:12]}"
        folder, digest = Path(self.name), hashlib.sha256()
        others = sorted(path for path in folder.iterdir() if path.suffix in TEXT_ENDINGS)
        for path in dict.fromkeys([*weight_files(folder), *others]):
            digest.update(f"{path.name} {sha256_of(path)}\n".encode())
        return f"{folder.name}:{digest.hexdigest()[:12]}"

    def config(self) -> PretrainedConfig:
        return AutoConfig.from_pretrained(self.name, revision=self.revision, trust_remote_code=False)

    def tokenizer(self, **options: object) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer.

        Raises:
            ValueError: it has none that tells which characters its tokens cover.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.name, revision=self.revision, **options)
        except (OSError, ValueError, TypeError, ImportError) as problem:  # a missing vocabulary file is a TypeError
            raise ValueError(f"{self.name} has no tokenizer that can be read: {_first_line(problem)}") from problem
        if not tokenizer.is_fast:
            raise ValueError(f"{self.name} has no fast tokenizer; convert it with `tokenizers` and save it there")
        return tokenizer

    def network(self, kind: type[Network], config: PretrainedConfig, *, device: str) -> Network:
        """The checkpoint's weights in a network of class `kind`, in evaluation mode.

        On a GPU in bfloat16, as the released code runs its reward models; else in float32. Weights are read straight to
        the device, so that the machine need not hold the largest models.

        Raises:
            ValueError: files are missing, or a weight has no place in the network, or a place has no weight: a head
                that is not in the checkpoint would be drawn at random.
        """
        dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
        try:
            with torch.random.fork_rng(devices=[]):  # weights are drawn before they are read
                network, names = kind.from_pretrained(
                    self.name,
                    revision=self.revision,
                    config=config,
                    dtype=dtype,
                    device_map={"": device},
                    output_loading_info=True,
                )
        except (OSError, RuntimeError, ValueError) as problem:
            raise ValueError(f"the weights of {self.name} cannot be read: {_first_line(problem)}") from problem
        missing = sorted(names["missing_keys"])
        left_over = sorted(name for name in names["unexpected_keys"] if not name.endswith(DERIVED))
        if missing or left_over:
            parts = [f"lacks {_listed(missing)}"] if missing else []
            parts += [f"also holds {_listed(left_over)}"] if left_over else []
            raise ValueError(
                f"{self.name} is no {kind.__name__}: it {' and '.join(parts)}; name a checkpoint that was trained as a "
                "reward model of this kind"
            )
        return network.eval()


def find_checkpoint(asked: str, revision: str | None = None) -> Checkpoint:
    """Find a folder, or a model of the hub as NAME or NAME@REVISION; of the hub only the configuration is fetched.

    `revision` is the other way to ask for one; a folder has none.

    Raises:
        ValueError: there is no such folder or model, its files are not complete, or it is not in the hub's cache while
            the hub is out of reach.
    """
    folder = Path(asked).expanduser()
    if folder.is_dir():
        weight_files(folder)
        return Checkpoint(str(folder.resolve()), None)
    if is_path(asked):
        raise ValueError(f"there is no folder {asked}; name one that holds {CONFIG} and the model's weights")
    name, _, named = asked.partition("@")
    return Checkpoint(name, hub_commit(name, named or revision))


def is_path(asked: str) -> bool:
    """Whether a checkpoint is named as a folder or file, there or not, rather than by its name on the hub."""
    return asked.startswith((".", "/", "~")) or asked.count("/") > 1 or Path(asked).exists()


def weight_files(folder: Path) -> list[Path]:
    """The files with a checkpoint's weights.

    Raises:
        ValueError: configuration or weights are missing, all or in part.
    """
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds no model ({CONFIG} is missing)")
    first = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if first is None:
        raise ValueError(f"{folder} holds no weights (none of {', '.join(WEIGHTS)})")
    if first.suffix != ".json":
        return [first]
    names = sorted(set(json.loads(first.read_text(encoding="utf-8"))["weight_map"].values()))
    lacking = [name for name in names if not (folder / name).is_file()]
    if lacking:
        raise ValueError(f"{folder} lacks {_listed(lacking)}, which its {first.name} lists; copy the missing files")
    return [first, *(folder / name for name in names)]


def hub_commit(name: str, revision: str | None = None, *, file: str = CONFIG) -> str:
    """The commit of a hub model that has `file`, from the hub, or from its cache where the hub is out of reach.

    Raises:
        ValueError: no such model, or it is not in the cache and the hub is out of reach.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, file, revision=revision)).parent.name
    except LocalEntryNotFoundError as problem:
        why = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else "the hub cannot be reached"
        raise ValueError(
            f"{name} is neither a folder nor in the hub's cache, and {why}; fetch it once with "
            f"`hf download {name}`, or name a folder"
        ) from problem
    except (HfHubHTTPError, HFValidationError) as problem:
        raise ValueError(f"{name} is neither a folder nor a model of the hub: {_first_line(problem)}") from problem


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _first_line(problem: Exception) -> str:
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
