"""The lab of long-form question answering: feedback in QA-Feedback's form, four reward models trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from alarm.experiment.code import REWARD_CODE
from alarm.experiment.generation import Sample
from alarm.experiment.lab import LABS, Lab
from alarm.experiment.reward_lab import Pairs, Truths
from alarm.files import sha256_of, write_json
from alarm.reward_modeling.comparisons import Comparison
from alarm.scorers.base import Scorer
from alarm.settings import RewardModelSettings
from alarm.tasks.base import Task
from alarm.tasks.long_form_qa import FILES as QA_FILES
from alarm.tasks.long_form_qa import LongFormQA
from alarm.tasks.qa_feedback import (
    FEEDBACK_FILES,
    PAIRS,
    Feedback,
    data_folder,
    find_feedback,
    find_file,
    read_feedback,
    write_feedback,
)
from alarm.tasks.qa_feedback_files import STORED, STORED_INPUTS, fetch, verify
from alarm.tasks.qa_labels import completeness_preference, factuality_labels, preferred_pairs, relevance_labels
from alarm.text.splitters import SPLITTERS, sentence_splitter

ANNOTATOR_SEED = 12
HELD_OUT_SHARE = 8
"""One in this many annotated questions is kept for the reward models' reported accuracy."""


class LongFormQALab(Lab):
    task_name = LongFormQA.name
    task_code = (
        *(f"tasks/{name}.py" for name in ("long_form_qa", "qa_feedback", "qa_labels")),
        *(f"tasks/worlds/{name}.py" for name in ("habits", "qa", "qa_annotators", "qa_facts", "qa_habits")),
        "text/splitting.py",
        "experiment/long_form_qa.py",
    )
    learned = ("holistic", "factuality", "relevance", "completeness")
    own_world_seed = 11

    def write_world(self, directory: Path) -> None:
        from alarm.tasks.worlds.qa import write_world

        write_world(directory, seed=self.world_seed)

    def base_text(self, count: int) -> list[tuple[str, str]]:
        from alarm.tasks.worlds.qa import base_text

        return base_text(self.world_seed, count)

    def data_directory(self) -> Path:
        """As for any task; QA-Feedback is fetched where the user names no folder."""
        if self.preset.data.corpus == "world" or self._data is not None:
            return super().data_directory()

        def build(path: Path) -> None:
            with self.progress.nested():
                self.progress.start(f"{self.task_name}: QA-Feedback's files")
                fetch(path)

        return self.store.get(STORED, STORED_INPUTS, build)

    def read_task(self, directory: Path) -> Task:
        """The generated world; or QA-Feedback in `directory` or in its folder `qa_feedback`."""
        if self.preset.data.corpus == "world":
            return LongFormQA(directory)
        verify(data_folder(directory))
        return LongFormQA(data_folder(directory), gold="chrf")

    def data_files(self) -> dict[str, str]:
        if self.preset.data.corpus == "world":
            return {}
        folder = data_folder(self.data_directory())
        found = [find_file(folder, name) for name in (*QA_FILES.values(), *FEEDBACK_FILES)]
        return {path.name: sha256_of(path) for path in found if path is not None}

    def noisy_comparisons(self, settings: RewardModelSettings) -> Path:
        """As for any task; QA-Feedback's own human feedback is taken as it is."""
        if self.preset.data.corpus == "world":
            return super().noisy_comparisons(settings)
        found = self._feedback_files()

        def build(path: Path) -> None:
            records = {name: read_feedback(file) for name, file in found.items()}
            for name, feedback in records.items():
                write_feedback(path / f"{name}.json", feedback)
            count = sum(map(len, records.values()))
            pairs = {"pairs": count * len(PAIRS), "undecided_pairs": _undecided(records.values())}
            unknown = {"wrong_label_share": None, "error_rate": None, "temperature": None}
            write_json(path / "report.json", {"prompts": count, **pairs, **unknown})

        return self.artifact("comparisons", REWARD_CODE, self.comparison_inputs(settings), build)

    def comparison_inputs(self, settings: RewardModelSettings) -> dict[str, Any]:
        """As for any task; of human feedback its files."""
        if self.preset.data.corpus == "world":
            return super().comparison_inputs(settings)
        return {"feedback": {name: sha256_of(file) for name, file in self._feedback_files().items()}}

    def aspect_inputs(self) -> dict[str, Any]:
        """As for any task, and the splitter's release."""
        return super().aspect_inputs() | {"sentence_splitter": self._splitter_version()}

    def write_comparisons(
        self, directory: Path, samples: Sequence[Sample], settings: RewardModelSettings
    ) -> dict[str, Any]:
        from alarm.tasks.worlds.qa_annotators import annotate, write_true_labels

        by_id = {example.id: example for example in self.task.split("train")}
        predictions: dict[str, list[str]] = {}
        for sample in samples:
            predictions.setdefault(sample.id, []).append(sample.response)
        feedback, truths = annotate(
            [by_id[name] for name in predictions],
            list(predictions.values()),
            temperature=settings.temperature,
            error_rate=settings.error_rate,
            taste_share=settings.taste_share,
            span_error_rate=settings.span_error_rate,
            seed=ANNOTATOR_SEED,
        )
        held_out = len(feedback) // HELD_OUT_SHARE
        write_feedback(directory / "train_feedback.json", feedback[held_out:])
        write_feedback(directory / "dev_feedback.json", feedback[:held_out])
        write_true_labels(directory / "true_labels.jsonl", truths)
        decided = [
            (label, truth)
            for record, labels in zip(feedback, truths, strict=True)
            for label, truth in zip(record.preference, labels.preference, strict=True)
            if label and truth
        ]
        return {
            "prompts": len(feedback),
            "pairs": len(feedback) * len(PAIRS),
            "undecided_pairs": _undecided([feedback]),
            "pairs_with_known_truth": len(decided),
            "wrong_label_share": sum(label != truth for label, truth in decided) / len(decided) if decided else None,
            "error_rate": settings.error_rate,
            "temperature": settings.temperature,
            "taste_share": settings.taste_share,
            "span_error_rate": settings.span_error_rate,
        }

    def read_preferences(self, directory: Path) -> Pairs:
        return tuple(
            [pair for record in records for pair in _comparisons(record, record.preference)]
            for records in _feedback(directory)
        )

    def read_truths(self, directory: Path) -> Truths:
        from alarm.tasks.worlds.qa_annotators import read_true_labels

        if self.preset.data.corpus != "world":
            # Nobody knows which of the people's labels are wrong.
            return tuple([0] * len(pairs) for pairs in self.read_preferences(directory))
        truths = {labels.prompt: labels.preference for labels in read_true_labels(directory / "true_labels.jsonl")}
        return tuple(
            [
                0 if truth == 0 else 1 if label == truth else -1
                for record in records
                for label, truth in zip(record.preference, truths[record.prompt], strict=True)
                if label
            ]
            for records in _feedback(directory)
        )

    def train_aspect(self, kind: str, directory: Path, **common: Any) -> dict[str, Any]:
        from alarm.reward_modeling.preferences import train_preference_model
        from alarm.reward_modeling.units import LabelledUnits, train_unit_model

        train, held_out = _feedback(self.comparisons)
        labels = {"factuality": factuality_labels, "relevance": relevance_labels}.get(kind)
        units = {"sentence_splitter": sentence_splitter(self.preset.reward_models.sentence_splitter)}
        if labels is not None:
            rows = [
                [LabelledUnits(record.prompt, record.predictions[0], labels(record, **units)) for record in records]
                for records in (train, held_out)
            ]
            train_rows, held_out_rows = ([row for row in split if row.labels] for split in rows)
            return train_unit_model(train_rows, directory, held_out=held_out_rows, kind=kind, **common).to_dict()
        pairs = [
            [pair for record in records for pair in _comparisons(record, completeness_preference(record, **units))]
            for records in (train, held_out)
        ]
        return train_preference_model(pairs[0], directory, held_out=pairs[1], kind=kind, **common).to_dict()

    def inputs(self, *concerns: str) -> dict[str, Any]:
        """As for any lab; another release of the sentence splitter may find other units."""
        found = super().inputs(*concerns)
        if "reward_models" in concerns:
            found["sentence_splitter"] = self._splitter_version()
        return found

    def _splitter_version(self) -> str:
        return SPLITTERS[self.preset.reward_models.sentence_splitter].version()

    def _feedback_files(self) -> dict[str, Path]:
        return {name: find_feedback(data_folder(self.data_directory()), name) for name in FEEDBACK_FILES}

    @cached_property
    def ready_made(self) -> dict[str, str]:
        """As for any task, and the aspect models of a folder."""
        from alarm.scorers.longformer import find_aspects

        folder = self.preset.reward_models.aspect_models
        aspects = {} if folder is None else find_aspects(folder)
        return super().ready_made | {kind: found.version for kind, found in aspects.items()}

    def aspect_scorers(self) -> dict[str, Scorer]:
        from alarm.scorers.learned import CompletenessScorer, FactualityScorer, RelevanceScorer
        from alarm.scorers.length import LengthScorer
        from alarm.scorers.longformer import load_aspects

        folder = self.preset.reward_models.aspect_models
        if folder is not None:
            splitter = self.preset.reward_models.sentence_splitter
            ready_made = self._once(
                "aspects", folder, lambda: load_aspects(folder, device=self.device, splitter=splitter)
            )
            return {**ready_made, "length": LengthScorer()}
        learned = {
            scorer.name: scorer(self.reward_model(scorer.name), device=self.device)
            for scorer in (FactualityScorer, RelevanceScorer, CompletenessScorer)
        }
        return {**learned, "length": LengthScorer()}


def _feedback(directory: Path) -> tuple[list[Feedback], list[Feedback]]:
    """Feedback for training, and held out."""
    return tuple(read_feedback(directory / f"{name}.json") for name in FEEDBACK_FILES)


def _undecided(files: Iterable[Sequence[Feedback]]) -> int:
    return sum(record.preference.count(0) for feedback in files for record in feedback)


def _comparisons(record: Feedback, preference: Sequence[int]) -> list[Comparison]:
    return [
        Comparison(record.prompt, record.predictions[better], record.predictions[worse])
        for better, worse in preferred_pairs(preference)
    ]


LABS.add(LongFormQALab.task_name, LongFormQALab)
