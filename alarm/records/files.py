"""Records and generations as files: written atomically, read with every problem named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from alarm.files import sha256_of, write_atomically
from alarm.records.kinds import (
    BestOfKRecord,
    Generation,
    JudgeRecord,
    MetricRecord,
    PoolRecord,
    PromptRow,
    RewardModelRecord,
    RunRecord,
    SelectionRecord,
    SetupRecord,
)
from alarm.records.paths import (
    best_of_k_path,
    judge_path,
    metric_path,
    pool_path,
    prompts_path,
    record_path,
    reward_models_path,
    selection_path,
    setup_path,
)

SCHEMA = 1

AnyRecord = TypeVar(
    "AnyRecord",
    RunRecord,
    SelectionRecord,
    SetupRecord,
    BestOfKRecord,
    PoolRecord,
    RewardModelRecord,
    JudgeRecord,
    MetricRecord,
)
Row = TypeVar("Row", Generation, PromptRow)
_KINDS = {
    RunRecord: "run",
    SelectionRecord: "selection",
    SetupRecord: "setup",
    BestOfKRecord: "best_of_k",
    PoolRecord: "sft_pool",
    RewardModelRecord: "reward_models",
    JudgeRecord: "judge",
    MetricRecord: "metric",
}

_LATER = {RunRecord: ("samples",)}
"""Fields that earlier versions did not write; where one is absent, it has its default."""


class RecordError(ValueError):
    """A record that cannot be read; the message names the file and the remedy."""


def write_record(
    results: Path,
    record: RunRecord,
    generations: Sequence[Generation] | None = None,
    samples: Sequence[Generation] | None = None,
) -> Path:
    """Write a run's greedy and sampled responses, then its record, each atomically; returns the record's path.

    The record carries checksums of both, so that a mixture of two runs is noticed.

    Raises:
        ValueError: the folder cannot be written, or two generations have one id.
    """
    path = record_path(results, record.scale, record.task, record.run_name, record.seed)
    pointers = {"generations": None, "samples": None}
    for name, rows in (("generations", generations), ("samples", samples)):
        if rows is not None:
            file = path.with_suffix(f".{name}.jsonl")
            write_generations(file, rows)
            pointers[name] = {"file": file.name, "sha256": sha256_of(file), "examples": len(rows)}
    return _write(path, replace(record, **pointers))


def write_selection(results: Path, record: SelectionRecord) -> Path:
    return _write(selection_path(results, record.scale, record.task), record)


def write_setup(results: Path, record: SetupRecord) -> Path:
    return _write(setup_path(results, record.scale, record.task), record)


def write_best_of_k(results: Path, record: BestOfKRecord) -> Path:
    return _write(best_of_k_path(results, record.scale, record.task), record)


def write_pool(results: Path, record: PoolRecord) -> Path:
    return _write(pool_path(results, record.scale, record.task), record)


def write_reward_models(results: Path, record: RewardModelRecord) -> Path:
    return _write(reward_models_path(results, record.scale, record.source), record)


def write_judge(results: Path, record: JudgeRecord) -> Path:
    return _write(judge_path(results, record.scale, record.task, record.judge), record)


def write_metric(results: Path, record: MetricRecord) -> Path:
    return _write(metric_path(results, record.scale, record.task, record.name), record)


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


def read_pool(path: Path) -> PoolRecord:
    """As `read_record`, for `sft_pool.json`."""
    return _read(path, PoolRecord)


def read_reward_models(path: Path) -> RewardModelRecord:
    """As `read_record`, for `reward_models.json`."""
    return _read(path, RewardModelRecord)


def read_judge(path: Path) -> JudgeRecord:
    """As `read_record`, for `judge_*.json`."""
    return _read(path, JudgeRecord)


def read_metric(path: Path) -> MetricRecord:
    """As `read_record`, for `metric_*.json`."""
    return _read(path, MetricRecord)


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
    return _write_lines(path, list(generations), "generations")


def write_prompts(results: Path, scale: str, task: str, prompts: Iterable[PromptRow]) -> Path:
    """Write the prompts that a task's runs answer as JSON lines, atomically; ids must be unique."""
    return _write_lines(prompts_path(results, scale, task), list(prompts), "prompts")


def read_generations(path: Path) -> list[Generation]:
    """Read a file of generations.

    Raises:
        RecordError: the file is missing, or a line is malformed (the message names it).
    """
    return _read_lines(path, _generation, "a generation")


def read_prompts(path: Path) -> list[PromptRow]:
    """Read `prompts.jsonl`; raises `RecordError` as `read_generations` does."""
    return _read_lines(path, _prompt, "a prompt")


def generations_of(record: RunRecord) -> list[Generation]:
    """The greedy test responses a record points to, checked against its checksum.

    Raises:
        RecordError: the record has none, or the file is missing or is not the one the record was written with.
    """
    return _responses_of(record, "generations")


def samples_of(record: RunRecord) -> list[Generation]:
    """The sampled test responses a record points to; raises as `generations_of`."""
    return _responses_of(record, "samples")


def _responses_of(record: RunRecord, name: str) -> list[Generation]:
    pointer = getattr(record, name)
    if record.path is None or pointer is None:
        raise RecordError(f"the record of {record.task} {record.run_name} seed {record.seed} has no {name}")
    path = record.path.parent / pointer["file"]
    if path.is_file() and sha256_of(path) != pointer["sha256"]:
        raise RecordError(f"{path} does not belong to {record.path.name} beside it; delete both and run again")
    return read_generations(path)


def _generation(row: Mapping[str, Any]) -> Generation:
    scores = {name: math.nan if value is None else float(value) for name, value in row["scores"].items()}
    spans, habit = row.get("spans", {}), str(row.get("habit", ""))
    return Generation(str(row["id"]), str(row["response"]), int(row["length"]), scores, spans, habit)


def _prompt(row: Mapping[str, Any]) -> PromptRow:
    return PromptRow(str(row["id"]), str(row["prompt"]), str(row["reference"]), dict(row["fields"]))


def _write_lines(path: Path, rows: Sequence[Generation | PromptRow], what: str) -> Path:
    if len({row.id for row in rows}) != len(rows):
        raise ValueError(f"{what} for {path}: two of them have the same id; score each example once")
    return write_atomically(path, "".join(_dump(asdict(row)) + "\n" for row in rows))


def _read_lines(path: Path, parse: Callable[[Mapping[str, Any]], Row], what: str) -> list[Row]:
    try:
        # Not splitlines(): a response may hold other characters that end a line in Unicode, such as U+2028.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete its record and run again") from error
    rows = []
    for number, line in enumerate(lines if lines != [""] else [], start=1):
        try:
            rows.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path}, line {number} is not {what} ({error!r}); delete the record and run again"
            ) from error
    return rows


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
    absent = known.keys() - values.keys() - set(_LATER.get(cls, ()))
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
