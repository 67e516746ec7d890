"""COMET (arXiv:2009.09025) as a scorer of translations, with a reference or, where the model needs none, without."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from alarm.files import sha256_of
from alarm.scorers.base import Placement, Score, Scorer

if TYPE_CHECKING:
    from comet.models.base import CometModel

MODEL_FILE = "model.ckpt"
HPARAMS_FILE = "hparams.yaml"
DIGITS = 5
"""Of a score. Rounding errors depend on the padding of a batch; without a limit they would turn ties into wins."""
INSTALL = "pip install 'unbabel-comet>=2.2.7' 'setuptools<81'"


class CometScorer(Scorer):
    """The quality of a translation as a COMET model estimates it; serves as metric and as holistic reward.

    The higher the better, usually between 0 and 1. An empty translation is read like any other.

    Args:
        checkpoint: as for `load_comet`.
        references: prompt to reference translation; needed by models that read references, ignored by the others.
        prefix: what stands before the source sentence in every prompt.
        batch_size: pairs scored together; changes the memory that is used, not the scores.
        show_progress: a bar on a terminal, for many pairs at once.
    Raises:
        ValueError: as `load_comet`; or the model needs references and there are none.
    """

    name = "holistic"
    value_name = "COMET"
    placement = Placement.LAST
    higher_is_better = True
    normalize = True

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        references: Mapping[str, str] | None = None,
        prefix: str = "",
        device: str = "cpu",
        batch_size: int = 32,
        show_progress: bool = False,
    ) -> None:
        self.path = find_checkpoint(checkpoint)
        self.model = load_comet(self.path, device=device)
        self.prefix, self.batch_size, self.show_progress = prefix, batch_size, show_progress
        self.references = references if reads_references(self.model) else None
        if self.references is None and self.model.requires_references():
            raise ValueError(
                f"the COMET model {checkpoint} compares with reference translations and there are none; use a "
                "referenceless model such as Unbabel/wmt22-cometkiwi-da"
            )

    @cached_property
    def _checksum(self) -> str:
        return sha256_of(self.path)

    @property
    def version(self) -> str:
        return f"unbabel-comet {version('unbabel-comet')} {type(self.model).__name__} {self._checksum[:12]}"

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[Score]:
        """One `Score` per pair, in order.

        Raises:
            ValueError: unequal lists, a prompt that does not begin with `prefix`, or one without reference.
        """
        if len(prompts) != len(responses):
            raise ValueError(f"{self.name}: {len(prompts)} prompts but {len(responses)} responses; pass one of each")
        rows = [self._row(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        options = {"batch_size": self.batch_size, "show_progress": self.show_progress}
        return [Score(value) for value in comet_scores(self.model, rows, **options)]

    def _row(self, prompt: str, response: str) -> dict[str, str]:
        if not prompt.startswith(self.prefix):
            raise ValueError(f"the prompt {prompt!r:.80} does not begin with {self.prefix!r}; give the task's prefix")
        row = {"src": prompt.removeprefix(self.prefix), "mt": response}
        if self.references is None:
            return row
        if prompt not in self.references:
            raise ValueError(f"COMET has no reference for the prompt {prompt!r:.80}; pass references of all splits")
        return {**row, "ref": self.references[prompt]}


def find_checkpoint(checkpoint: str | Path) -> Path:
    """The file of a COMET model: of a path to it or to its folder, else of a name on the hub, fetched if need be.

    Raises:
        ValueError: there is no such file, or a name that is not on this disk while `HF_HUB_OFFLINE` is set.
    """
    path = Path(checkpoint).expanduser()
    candidates = (path, path / "checkpoints" / MODEL_FILE, path / MODEL_FILE)
    found = next((file for file in candidates if file.is_file()), None) or (None if path.is_dir() else _fetch(path))
    if found is None:
        raise ValueError(f"the folder {path} holds no COMET model; checkpoints/{MODEL_FILE} is missing there")
    if not (found.parents[1] / HPARAMS_FILE).is_file():
        raise ValueError(f"{found} lacks {HPARAMS_FILE} in the folder above its own, which says what model it is")
    return found


def load_comet(checkpoint: str | Path, *, device: str = "cpu") -> CometModel:
    """A COMET model in evaluation mode; offline only from local files, its encoder's tokenizer included.

    A checkpoint is a pickle, which runs code when it is read: load only those of people you trust.

    Args:
        checkpoint: path to `model.ckpt`, to the folder with `hparams.yaml` and `checkpoints/model.ckpt`, or a name on
            the hub, e.g. "Unbabel/wmt22-comet-da".
    Raises:
        ValueError: COMET is not installed or cannot be imported, or the model cannot be found or read.
    """
    path = find_checkpoint(checkpoint)
    with quiet():
        load_from_checkpoint = _imported().load_from_checkpoint
        try:
            model = load_from_checkpoint(str(path), local_files_only=_offline())
        except Exception as error:  # unpickling, hub, tokenizer and version problems have no class in common
            raise ValueError(
                f"the COMET model {path} cannot be read ({_first_line(error)}); it is damaged, or its encoder's "
                "configuration and tokenizer are not on this disk: load it once with a network"
            ) from error
    return model.to(device).eval()


def reads_references(model: CometModel) -> bool:
    """Whether a reference changes the model's scores; some can do with and without."""
    return model.requires_references() or "ref" in model.hparams.get("input_segments", ())


@torch.inference_mode()
def comet_scores(
    model: CometModel, rows: Sequence[Mapping[str, str]], *, batch_size: int = 32, show_progress: bool = False
) -> list[float]:
    """Scores of rows with `src`, `mt` and, if the model reads it, `ref`; in their order.

    Equal rows are scored once, and rows of like length together. Unlike `model.predict` this starts no Lightning
    trainer, so that it can serve within a training loop.
    """
    keys = [tuple(sorted(row.items())) for row in rows]
    distinct = sorted(set(keys), key=lambda key: (sum(len(text) for _, text in key), key))
    values: dict[tuple[tuple[str, str], ...], float] = {}
    for start in tqdm(
        range(0, len(distinct), batch_size), desc="COMET", unit="batch", disable=None if show_progress else True
    ):
        batch = distinct[start : start + batch_size]
        inputs = model.prepare_sample([dict(key) for key in batch], stage="predict")
        inputs = model.transfer_batch_to_device(inputs, model.device, 0)
        scores = model.predict_step(inputs).scores.float().cpu().tolist()
        values.update(zip(batch, (round(score, DIGITS) for score in scores), strict=True))
    return [values[key] for key in keys]


@contextmanager
def quiet() -> Iterator[None]:
    """Undo what importing COMET does to the root logger, and silence what it and Lightning say."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    for name in ("comet", "pytorch_lightning", "lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def _fetch(name: Path) -> Path:
    """The file of a model by its name on the hub."""
    from huggingface_hub import snapshot_download

    if not _offline():
        with quiet():
            try:
                return Path(_imported().download_model(str(name)))
            except KeyError as error:
                raise ValueError(
                    f"there is no file {name}, and it cannot be fetched as a COMET model: the hub has none of that "
                    "name, cannot be reached, or wants its licence accepted first"
                ) from error
    try:
        return Path(snapshot_download(str(name), local_files_only=True)) / "checkpoints" / MODEL_FILE
    except (OSError, ValueError) as error:
        raise ValueError(
            f"there is no file {name}, and HF_HUB_OFFLINE forbids to fetch a model of that name; "
            f"give the path of a {MODEL_FILE}, or fetch the model once with a network"
        ) from error


def _imported():
    """The package `comet`."""
    try:
        import comet
        from comet import load_from_checkpoint  # noqa: F401  another package has the same name
    except Exception as error:  # its dependencies fail in many ways, such as a missing pkg_resources
        raise ValueError(f"COMET cannot be imported ({_first_line(error)}); install it: {INSTALL}") from error
    return comet


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
