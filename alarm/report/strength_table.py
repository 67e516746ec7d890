"""Preference strength (figures 2 to 4 of arXiv:2401.06080) in numbers, and strength as a detector of wrong labels."""

from __future__ import annotations

import math

from alarm.evaluation.win_rates import Spread, spread
from alarm.records import RewardModelRecord
from alarm.report.published import Number
from alarm.report.published_study import READING, PublishedStudy
from alarm.report.studies import WAYS, strengths, study_origin
from alarm.report.tables import Block, Cell, Table
from alarm.reward_modeling.detection import PERCENTILES, agreement_by_decile, detector, percentiles

GROUPS = 10
DETECTOR = {
    "pairs": "pairs that gold decides",
    "wrong_share": "wrong labels, %",
    "flagged_share": "flagged (mean < 0), %",
    "precision": "precision, %",
    "recall": "recall, %",
    "auc": "area under the ROC curve",
}
DECILES = [str(decile) for decile in range(GROUPS)]
DECILE_LABELS = {str(decile): f"{10 * decile}–{10 * decile + 10} %" for decile in range(GROUPS)}


def strength_table(record: RewardModelRecord, published: PublishedStudy) -> Table:
    """Strength by percentile, as detector, against gold by decile, and what a model learns from one decile alone."""
    missing = [f"strength {label}" for way, label in WAYS.items() if strengths(record, way) is None]
    if record.wrong is None:
        missing.append("which labels are wrong (no gold for this source)")
    if not record.deciles:
        missing.append("models trained on one decile alone")
    models = ", ".join(
        f"{WAYS[way]} {found['models']}" for way in WAYS if (found := strengths(record, way)) is not None
    )
    return Table(
        name=f"strength_{record.source}",
        title=f"Strength of preferences in {record.source}",
        caption=[
            f"Strength of a pair: mean over models of r(chosen) − r(rejected); sd: between models. Models that score "
            f"each pair: {models or 'none'}. Cross-fitted: by models that never saw the pair's prompt.",
            "Percentiles: mean and sd over the pairs between a percentile and the one before (figure 2). Deciles: "
            "pairs in tenths by rising strength; labels that gold agrees with (figure 3), and accuracy of a model "
            "trained on one tenth alone with equal steps each, by cross-fitted strength (figure 4).",
            "Detector: negative strength flags a label as wrong; precision of flagging at random is the share of wrong "
            "labels. Pairs that gold does not decide are left out.",
            READING,
            *study_origin(record),
        ],
        blocks=[
            _percentile_block(record, published),
            _detector_block(record, published),
            _agreement_block(record, published),
            _decile_block(record, published),
        ],
        missing=missing,
    )


def _percentile_block(record: RewardModelRecord, published: PublishedStudy) -> Block:
    cells: dict[tuple[str, str], Cell] = {}
    for way in WAYS:
        found = strengths(record, way)
        rows = percentiles(found["mean"], found["sd"]) if found else []
        for row in rows:
            at = f"{row['percentile']} %"
            # The paper scores pairs that its models were trained on.
            paper = published.strength(row["percentile"]) if way == "in_sample" else None
            cells[at, f"{way}_mean"] = _number(row["mean"], "pairs", digits=3, published=paper)
            cells[at, f"{way}_sd"] = _number(row["sd"], "a second model", digits=3)
    labels = {f"{way}_{what}": f"{label}, {what}" for way, label in WAYS.items() for what in ("mean", "sd")}
    return Block(
        "Strength by percentile", "percentile", [f"{point} %" for point in PERCENTILES], list(labels), cells, labels
    )


def _detector_block(record: RewardModelRecord, published: PublishedStudy) -> Block:
    cells: dict[tuple[str, str], Cell] = {}
    for way in WAYS:
        found = strengths(record, way)
        if not found:
            continue
        if record.wrong is None:
            share = 100 * sum(value < 0 for value in found["mean"]) / len(found["mean"])
            cells[way, "flagged_share"] = _number(share, "", digits=1, published=_paper_share(published, way))
            continue
        results = detector(found["mean"], record.wrong)
        cells[way, "pairs"] = _number(results["pairs"], "", digits=0)
        for name in ("wrong_share", "flagged_share", "precision", "recall"):
            paper = _paper_share(published, way) if name == "flagged_share" else None
            cells[way, name] = _number(100 * results[name], "flagged or wrong labels", digits=1, published=paper)
        cells[way, "auc"] = _number(results["auc"], "wrong and right labels", digits=3)
    block = Block("Negative strength as a detector of wrong labels", "strength", list(WAYS), list(DETECTOR), cells)
    block.column_labels = DETECTOR
    return block


def _agreement_block(record: RewardModelRecord, published: PublishedStudy) -> Block:
    cells: dict[tuple[str, str], Cell] = {}
    for way in WAYS:
        found = strengths(record, way)
        if found and record.wrong is not None and len(found["mean"]) >= GROUPS:
            for group, share in enumerate(agreement_by_decile(found["mean"], record.wrong, GROUPS)):
                paper = published.agreement(group, GROUPS) if way == "in_sample" else None
                cells[way, str(group)] = _number(100 * share, "pairs that gold decides", digits=1, published=paper)
    return Block(
        "Labels that gold agrees with, %, by decile of strength", "strength", list(WAYS), DECILES, cells, DECILE_LABELS
    )


def _decile_block(record: RewardModelRecord, published: PublishedStudy) -> Block:
    cells: dict[tuple[str, str], Cell] = {}
    rows = {name: entry["label"] for name, entry in record.validation_sets.items()}
    for name, label in rows.items():
        for decile in range(GROUPS):
            accuracies = [
                100 * row["accuracy"][name]
                for row in record.deciles
                if row["decile"] == decile and row["accuracy"].get(name) is not None
            ]
            paper = published.decile_accuracy(decile, name)
            cells[label, str(decile)] = (
                Cell(spread(accuracies), published=paper, digits=1)
                if accuracies
                else Cell(published=paper, missing="a model")
            )
    title = "Accuracy of a model trained on one decile alone, %"
    return Block(title, "validation set", list(rows.values()), DECILES, cells, DECILE_LABELS)


def _paper_share(published: PublishedStudy, way: str) -> Number | None:
    return published.negative_share() if way == "in_sample" else None


def _number(value: float, missing: str, *, digits: int, published: Number | None = None) -> Cell:
    if not math.isfinite(value):
        return Cell(missing=missing, published=published, digits=digits)
    return Cell(Spread(value, None, 1), published=published, digits=digits, show_count=False)
