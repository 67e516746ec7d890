"""What a run leaves behind: one JSON record and one line of JSON per test example. Tables are made from these alone.

Layout, below `<results>/<scale>/records/<task>/`:

    <run name>/seed<k>.json                 a `RunRecord`
    <run name>/seed<k>.generations.jsonl    its test responses, a `Generation` per line
    selection.json                          a `SelectionRecord`: proactive selection
    setup.json                              a `SetupRecord`: what the runs share, such as reward-model accuracies
    best_of_k.json                          a `BestOfKRecord`: best-of-k from one pool of SFT samples
    reward_models.json                      a `RewardModelRecord`: recipes of reward models, strength of preferences
    sft.generations.jsonl                   optional: the SFT policy's greedy test responses
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from alarm.files import sha256_of, write_atomically

SCHEMA = 1


class RecordError(ValueError):
    """A record that cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True)
class Generation:
    """One test example's response."""

    id: str
    response: str
    length: int
    """Generated tokens, the end token included."""
    scores: Mapping[str, float]
    """Raw value of every score: `holistic` (z-normalised), `holistic_raw`, every aspect's, `gold`."""


@dataclass(frozen=True)
class RunRecord:
    """One finished (or failed) run: task x method x seed at a scale, with everything its numbers depend on."""

    task: str
    method: str
    aspect: str
    """The aspect whose reward was used, given or selected."""
    recipe: str
    scale: str
    seed: int
    settings: Mapping[str, Any]
    """The preset, the same for all runs of a scale and task."""
    environment: Mapping[str, Any]
    """`alarm.environment.environment()`: versions, commit, dirty flag, device."""
    data_fingerprint: str
    started: str
    """ISO 8601, UTC."""
    finished: str
    durations: Mapping[str, float]
    """Seconds by phase, e.g. rollout, scoring, update, evaluation, total."""
    history: Sequence[Mapping[str, Any]]
    """One row per PPO iteration: iteration, reward, holistic, gold, kl, entropy, length, and whatever else was logged;
    None where a number was not measured, as `dev_gold` between evaluations."""
    metrics: Mapping[str, Mapping[str, Any]]
    """`test` and `sft`: means per score name, and of the length as `tokens`; `corpus`: metrics of a whole set of
    responses, each with `name`, `value` and `signature`."""
    directions: Mapping[str, bool]
    """Score name to whether higher is better."""
    score_labels: Mapping[str, str]
    """Score name to how tables print it."""
    aspect_given: bool = False
    """True if the aspect was named by the user rather than selected; it is then part of the run's name."""
    generations: Mapping[str, Any] | None = None
    """Name, sha256 and number of lines of the file of generations, set by `write_record`."""
    error: str | None = None
    """Why and where the run stopped, if it failed."""
    method_settings: Mapping[str, Any] = field(default_factory=dict)
    """What only this run's method depends on, e.g. a hash of its source."""
    path: Path | None = field(default=None, compare=False)
    """Where the record was read from; not part of the file."""

    @property
    def run_name(self) -> str:
        return run_name(self.method, self.aspect if self.aspect_given else None)

    @property
    def hardware(self) -> str:
        """The hardware class, e.g. `CPU: Intel Xeon, 1 thread`."""
        return str(self.environment.get("hardware", "hardware unknown"))

    @property
    def hardware_kind(self) -> str:
        """`cpu` or `gpu`; numbers of different kinds never share a column."""
        return hardware_kind(self.environment)


@dataclass(frozen=True)
class SelectionRecord:
    """Proactive selection (arXiv:2403.06754, section 3.1) over greedy and sampled responses of the SFT policy."""

    task: str
    scale: str
    selected: str
    inconsistency: Mapping[str, Mapping[str, Any]]
    """`Inconsistency.to_dict()` of every aspect, in the order of the paper's tables."""
    greedy_win_rate: Mapping[str, Mapping[str, Any]]
    """`WinRate` counts of greedy against sampled responses, by `holistic` and by every aspect."""
    gold_win_rate: Mapping[str, Any] | None
    """The same by gold quality, None where it is unknown."""
    pairs: int
    split: str
    score_labels: Mapping[str, str]
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class SetupRecord:
    """What all runs of a task share: SFT quality, annotator noise, reward-model accuracies, normalisation constants."""

    task: str
    scale: str
    facts: Mapping[str, Any]
    """Section to (nested) names to values, printed in this order."""
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class BestOfKRecord:
    """Best-of-k from one pool of SFT samples per prompt (arXiv:2402.00742): what each selector's choice is worth."""

    task: str
    scale: str
    pool: int
    """SFT samples per prompt, n."""
    split: str
    ks: Sequence[int]
    kl: Sequence[float]
    """Nats, log k - (k - 1) / k, one per k."""
    selectors: Mapping[str, Mapping[str, Any]]
    """Selector name to `description` and to [K][P] lists, one value per k and prompt, each the mean over all subsets of
    k samples: `gold`; `win_rate`, percent, by gold against one SFT sample, a tie counting half; `all_good`, share of
    chosen responses that gold finds good in every property (absent where properties have no gold)."""
    properties: Sequence[str]
    """What the sums run over, `holistic` first."""
    gold_name: str
    finished: str
    """ISO 8601, UTC."""
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class RewardModelRecord:
    """A study of reward-model recipes on one source of comparisons (arXiv:2401.06080)."""

    source: str
    """A task's name, or a data set's, such as `hh_harmless`."""
    scale: str
    facts: Mapping[str, Any]
    """Counts and settings, printed in this order."""
    validation_sets: Mapping[str, Mapping[str, Any]]
    """Set name (`noisy`: the annotators' labels, `gold`: true labels, `agreeing`: pairs where both agree, `shifted`:
    gold labels on samples of a PPO-trained policy) to `label`, how tables print it, and `pairs`."""
    heuristics: Mapping[str, Mapping[str, float]]
    """Scores that need no training, such as `length`, to their accuracy per validation set."""
    strength: Mapping[str, Mapping[str, Any]]
    """`in_sample` and `cross_fitted` to `mean` and `sd`, [P] lists over the training pairs, and `models`, how many
    models score each pair."""
    wrong: Sequence[bool | None] | None
    """[P], whether a training pair's label is wrong; None where gold is equal, or for all if truth is unknown."""
    deciles: Sequence[Mapping[str, Any]]
    """A model trained on one strength decile alone: `decile` (0 the weakest), `seed`, `accuracy` per validation set."""
    curves: Sequence[Mapping[str, Any]]
    """One training: `recipe`, `target` (of a contrastive term, else None), `seed`, `steps` [E] and `accuracy`, per
    validation set [E] values, the last at the end of training."""
    sweep: Sequence[Mapping[str, Any]]
    """The same at other noise: `error_rate`, `wrong_label_share`, `recipe`, `seed`, `accuracy` per validation set."""
    finished: str
    """ISO 8601, UTC."""
    seconds: float
    environment: Mapping[str, Any]


AnyRecord = TypeVar("AnyRecord", RunRecord, SelectionRecord, SetupRecord, BestOfKRecord, RewardModelRecord)
_KINDS = {
    RunRecord: "run",
    SelectionRecord: "selection",
    SetupRecord: "setup",
    BestOfKRecord: "best_of_k",
    RewardModelRecord: "reward_models",
}


def hardware_kind(environment: Mapping[str, Any]) -> str:
    """`cpu` or `gpu`, of what `alarm.environment.environment()` said."""
    return "gpu" if str(environment.get("device", "cpu")).startswith("cuda") else "cpu"


def run_name(method: str, aspect: str | None = None) -> str:
    """The method's name, with the aspect where one was given: `alarm`, `alarm+relevance`."""
    return f"{method}+{aspect}" if aspect else method


def records_folder(results: Path, scale: str, task: str | None = None) -> Path:
    folder = Path(results) / scale / "records"
    return folder / task if task else folder


def record_path(results: Path, scale: str, task: str, name: str, seed: int) -> Path:
    return records_folder(results, scale, task) / name / f"seed{seed}.json"


def selection_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "selection.json"


def setup_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "setup.json"


def best_of_k_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "best_of_k.json"


def reward_models_path(results: Path, scale: str, source: str) -> Path:
    return records_folder(results, scale, source) / "reward_models.json"


def sft_generations_path(results: Path, scale: str, task: str) -> Path:
    return records_folder(results, scale, task) / "sft.generations.jsonl"


def write_record(results: Path, record: RunRecord, generations: Sequence[Generation] | None = None) -> Path:
    """Write a run's generations, then its record, each atomically; returns the record's path.

    The record carries a checksum of the generations, so that a mixture of two runs is noticed.

    Raises:
        ValueError: the folder cannot be written, or two generations have one id.
    """
    path = record_path(results, record.scale, record.task, record.run_name, record.seed)
    pointer = None
    if generations is not None:
        file = path.with_suffix(".generations.jsonl")
        write_generations(file, generations)
        pointer = {"file": file.name, "sha256": sha256_of(file), "examples": len(generations)}
    return _write(path, replace(record, generations=pointer))


def write_selection(results: Path, record: SelectionRecord) -> Path:
    return _write(selection_path(results, record.scale, record.task), record)


def write_setup(results: Path, record: SetupRecord) -> Path:
    return _write(setup_path(results, record.scale, record.task), record)


def write_best_of_k(results: Path, record: BestOfKRecord) -> Path:
    return _write(best_of_k_path(results, record.scale, record.task), record)


def write_reward_models(results: Path, record: RewardModelRecord) -> Path:
    return _write(reward_models_path(results, record.scale, record.source), record)


def read_record(path: Path) -> RunRecord:
    """Read one run's record.

    Raises:
        RecordError: the file is unreadable, of another kind or schema, or lacks a field.
    """
    return replace(_read(path, RunRecord), path=path)


def read_selection(path: Path) -> SelectionRecord:
    """As `read_record`, for `selection.json`."""
    return _read(path, SelectionRecord)


def read_setup(path: Path) -> SetupRecord:
    """As `read_record`, for `setup.json`."""
    return _read(path, SetupRecord)


def read_best_of_k(path: Path) -> BestOfKRecord:
    """As `read_record`, for `best_of_k.json`."""
    return _read(path, BestOfKRecord)


def read_reward_models(path: Path) -> RewardModelRecord:
    """As `read_record`, for `reward_models.json`."""
    return _read(path, RewardModelRecord)


def read_records(directory: Path) -> list[RunRecord]:
    """All run records below `<results>/<scale>/records`, in the order of task, run name and seed.

    Raises:
        RecordError: the folder does not exist, or one of its records cannot be read or lies in the wrong place.
    """
    if not Path(directory).is_dir():
        raise RecordError(f"there are no records in {directory}; run `pytest benchmarks` first")
    records = [read_record(path) for path in sorted(Path(directory).glob("*/*/seed*.json"))]
    for record in records:
        expected = Path(record.task) / record.run_name / f"seed{record.seed}.json"
        if record.path.relative_to(directory) != expected or record.scale != Path(directory).parent.name:
            raise RecordError(
                f"{record.path} says it is {record.scale}/{expected}; move it there, or delete it and run again"
            )
    return sorted(records, key=lambda r: (r.task, r.run_name, r.seed))


def write_generations(path: Path, generations: Iterable[Generation]) -> Path:
    """Write generations as JSON lines, atomically; ids must be unique."""
    generations = list(generations)
    if len({g.id for g in generations}) != len(generations):
        raise ValueError(f"generations for {path}: two of them have the same id; score each example once")
    return write_atomically(path, "".join(_dump(asdict(g)) + "\n" for g in generations))


def read_generations(path: Path) -> list[Generation]:
    """Read a file of generations.

    Raises:
        RecordError: the file is missing, or a line is malformed (the message names it).
    """
    try:
        # Not splitlines(): a response may hold other characters that end a line in Unicode, such as U+2028.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete its record and run again") from error
    generations = []
    for number, line in enumerate(lines if lines != [""] else [], start=1):
        try:
            row = json.loads(line)
            scores = {name: math.nan if value is None else float(value) for name, value in row["scores"].items()}
            generations.append(Generation(str(row["id"]), str(row["response"]), int(row["length"]), scores))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path}, line {number} is not a generation ({error!r}); delete the record and run again"
            ) from error
    return generations


def generations_of(record: RunRecord) -> list[Generation]:
    """The generations a record points to, checked against its checksum.

    Raises:
        RecordError: the record has none, or the file is missing or is not the one the record was written with.
    """
    if record.path is None or record.generations is None:
        raise RecordError(f"the record of {record.task} {record.run_name} seed {record.seed} has no generations")
    path = record.path.parent / record.generations["file"]
    if path.is_file() and sha256_of(path) != record.generations["sha256"]:
        raise RecordError(f"{path} does not belong to {record.path.name} beside it; delete both and run again")
    return read_generations(path)


def _write(path: Path, record: AnyRecord) -> Path:
    values = {f.name: getattr(record, f.name) for f in fields(record) if f.name != "path"}
    return write_atomically(path, _dump({"kind": _KINDS[type(record)], "schema": SCHEMA, **values}, indent=1) + "\n")


def _read(path: Path, cls: type[AnyRecord]) -> AnyRecord:
    remedy = "delete it and run `pytest benchmarks` again"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read ({error}); {remedy}") from error
    if not isinstance(values, dict) or values.pop("kind", None) != _KINDS[cls]:
        raise RecordError(f"{path} is no {_KINDS[cls]} record of this suite; move it out of the results folder")
    schema = values.pop("schema", None)
    if schema != SCHEMA:
        raise RecordError(f"{path} has record schema {schema}, this version reads {SCHEMA}; {remedy}")
    known = {f.name: f for f in fields(cls) if f.name != "path"}
    unknown = values.keys() - known.keys()
    # Every field is written, so an absent one means a damaged or foreign file even where there is a default.
    absent = known.keys() - values.keys()
    if unknown or absent:
        problem = f"lacks {', '.join(sorted(absent))}" if absent else f"has unknown {', '.join(sorted(unknown))}"
        raise RecordError(f"{path} {problem}; {remedy}")
    return cls(**values)


def _dump(value: Any, indent: int | None = None) -> str:
    """JSON with dataclasses as objects, and with NaN and infinities as null, which every reader of JSON understands."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return _finite(asdict(value)) if is_dataclass(value) else value
