"""Verdicts of several calls in one record: a later call adds to what earlier ones found, and takes nothing away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from alarm.evaluation.judges.base import Choice, Verdict
from alarm.records import JudgeRecord
from alarm.report.runs import TaskRuns
from alarm.report.verdicts import is_current

SAME_JUDGE = ("asked_model", "server", "prompt")
"""Facts that must agree: another prompt or server is another judge."""
MIRRORED = {Verdict.WIN: Verdict.LOSE, Verdict.LOSE: Verdict.WIN}

Said = dict[str, tuple[str, list[str]]]
"""Prompt id to verdict and choices."""


def merged(record: JudgeRecord, earlier: JudgeRecord | None, runs: TaskRuns) -> JudgeRecord:
    """The record with what an earlier one of the same judge says of responses that are still on record.

    Where both say something of a pair the later counts, unless it is that an answer is missing.
    """
    if earlier is None or any(earlier.facts.get(name) != record.facts.get(name) for name in SAME_JUDGE):
        return record
    kept = {_key(row): row for row in earlier.comparisons if is_current(runs, earlier, row)}
    comparisons = [_joined(row, _found(kept, row)) for row in record.comparisons]
    judged = {_key(row) for row in comparisons} | {_mirrored_key(row) for row in comparisons}
    others = [dict(row) for key, row in kept.items() if key not in judged]
    comparisons += others
    verdicts = Counter(verdict for row in comparisons for verdict in row["verdicts"])
    checksums: dict[str, dict[str, str]] = {}
    for facts in (earlier.facts, record.facts):
        for name, of_seeds in facts.get("responses", {}).items():
            checksums.setdefault(name, {}).update(of_seeds)
    facts = {
        **record.facts,
        "items": len({i for row in comparisons for i in row["ids"]}),
        "seeds": sorted({row["seed"] for row in comparisons}),
        "pairs": sum(len(row["ids"]) for row in comparisons),
        "verdicts": {verdict.value: verdicts[verdict.value] for verdict in Verdict},
        "responses": checksums,
        "comparisons_of_earlier_calls": len(others),
    }
    return replace(record, facts=facts, comparisons=comparisons)


def _found(kept: Mapping[tuple, Mapping[str, Any]], row: Mapping[str, Any]) -> Said:
    """What was said earlier of the pairs of this comparison, whichever run then stood first."""
    if (same := kept.get(_key(row))) is not None:
        return _said(same)
    if (other := kept.get(_mirrored_key(row))) is None:
        return {}
    return {
        i: (MIRRORED.get(Verdict(verdict), Verdict(verdict)).value, choices[::-1])
        for i, (verdict, choices) in _said(other).items()
    }


def _joined(row: Mapping[str, Any], earlier: Said) -> dict[str, Any]:
    now = {
        i: (verdict, choices)
        for i, (verdict, choices) in _said(row).items()
        if i not in earlier or Choice.MISSING not in choices
    }
    everything = earlier | now
    ids = [*row["ids"], *(i for i in earlier if i not in set(row["ids"]))]
    return {
        **row,
        "ids": ids,
        "verdicts": [everything[i][0] for i in ids],
        "choices": [everything[i][1] for i in ids],
    }


def _said(row: Mapping[str, Any]) -> Said:
    pairs: Sequence[tuple] = list(zip(row["ids"], row["verdicts"], row["choices"], strict=True))
    return {i: (verdict, list(choices)) for i, verdict, choices in pairs}


def _key(row: Mapping[str, Any]) -> tuple:
    return row["row"], row["column"], row["seed"]


def _mirrored_key(row: Mapping[str, Any]) -> tuple:
    return row["column"], row["row"], row["seed"]
