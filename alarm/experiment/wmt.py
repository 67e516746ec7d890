"""The lab of translation: comparisons by simulated annotators, a holistic model trained on them, rule-based aspects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alarm.experiment.generation import Sample
from alarm.experiment.lab import LABS, Lab
from alarm.experiment.reward_lab import Pairs, Truths
from alarm.files import sha256_of
from alarm.reward_modeling.annotators import compare
from alarm.reward_modeling.comparisons import (
    read_comparisons,
    read_true_qualities,
    write_comparisons,
    write_true_qualities,
)
from alarm.scorers.base import Scorer
from alarm.settings import RewardModelSettings
from alarm.tasks.base import Example, Task
from alarm.tasks.europarl import STEMS as EUROPARL_STEMS
from alarm.tasks.parallel_text import MULTI30K_LINES, find_text
from alarm.tasks.wmt import WMT, WORLD_STEMS

ANNOTATOR_SEED = 22
CAPTION_PARTS = (
    *("caption_edits", "caption_flaws", "caption_glossary", "caption_grammar", "caption_habits", "caption_lexicon"),
    *("caption_quality", "caption_reading", "caption_scenes", "caption_writers", "habits"),
)
HELD_OUT_SHARE = 8
"""One in this many compared prompts is kept for the reward model's reported accuracy."""


class WMTLab(Lab):
    task_name = WMT.name
    task_code = (
        "tasks/wmt.py",
        "tasks/parallel_text.py",
        "text/chrf.py",
        *(f"tasks/worlds/{name}.py" for name in ("captions", *CAPTION_PARTS)),
        "experiment/wmt.py",
    )
    learned = ("holistic",)
    own_world_seed = 21

    def write_world(self, directory: Path) -> None:
        from alarm.tasks.worlds.captions import write_world

        write_world(directory, seed=self.world_seed)

    def base_text(self, count: int) -> list[tuple[str, str]]:
        from alarm.tasks.worlds.captions import base_text

        return base_text(self.world_seed, count)

    def data_directory(self) -> Path:
        """As for any task; Europarl is split and written as line files first, once."""
        settings = self.preset.data
        if settings.corpus != "europarl":
            return super().data_directory()
        from alarm.tasks import europarl

        source, files = settings.source_language, europarl.local_files(self._data, settings.source_language)
        inputs = {"settings": asdict(settings), "files": [sha256_of(path) for path in files] or europarl.REVISION}

        def build(path: Path) -> None:
            self.progress.start(f"{self.task_name}: Europarl {europarl.configuration(source)}")
            pairs = europarl.load_pairs(source, folder=self._data, pairs=settings.pairs)
            europarl.write_splits(pairs, path, settings)

        return self.artifact("europarl", ("tasks/europarl.py",), inputs, build)

    def read_task(self, directory: Path) -> Task:
        """The generated world; Multi30k in `directory` or in its folder `multi30k`; or Europarl's splits."""
        settings = self.preset.data
        if settings.corpus == "world":
            return WMT(directory, gold="world", stems=WORLD_STEMS)
        common = {"gold": "chrf", "source": settings.source_language, "prefix": settings.prompt_prefix}
        if settings.corpus == "europarl":
            return WMT(directory, stems=EUROPARL_STEMS, **common)
        nested = directory / "multi30k"
        return WMT(nested if nested.is_dir() else directory, lines=MULTI30K_LINES, **common)

    def data_files(self) -> dict[str, str]:
        """Europarl's Parquet files, or where these are fetched its commit; else the line files."""
        from alarm.tasks import europarl

        settings = self.preset.data
        if settings.corpus == "world":
            return {}
        if settings.corpus == "europarl":
            files = europarl.local_files(self._data, settings.source_language)
            return {path.name: sha256_of(path) for path in files} or {europarl.REPOSITORY: europarl.REVISION}
        names = [f"{stem}.{language}" for stem in MULTI30K_LINES for language in self.task.languages]
        found = [find_text(self.task.directory, name) for name in names]
        return {path.name: sha256_of(path) for path in found if path is not None}

    def write_comparisons(
        self, directory: Path, samples: Sequence[Sample], settings: RewardModelSettings
    ) -> dict[str, Any]:
        by_id = {example.id: example for example in self.task.split("train")}
        responses: dict[str, list[str]] = {}
        for sample in samples:
            responses.setdefault(sample.id, []).append(sample.response)
        examples = [by_id[name] for name in responses for _ in responses[name]]
        gold = iter(self.task.gold(examples, [sample.response for sample in samples]))
        held_out = len(responses) // HELD_OUT_SHARE
        names = list(responses)
        report: dict[str, Any] = {"prompts": len(names)}
        wrong = total = 0
        qualities = {name: [next(gold) for _ in responses[name]] for name in names}
        for split, chosen in (("dev", names[:held_out]), ("train", names[held_out:])):
            comparisons, truths = compare(
                [by_id[name].prompt for name in chosen],
                [responses[name] for name in chosen],
                [qualities[name] for name in chosen],
                temperature=settings.temperature,
                error_rate=settings.error_rate,
                taste_share=settings.taste_share,
                seed=ANNOTATOR_SEED + (split == "dev"),
            )
            write_comparisons(directory / f"{split}.jsonl", comparisons)
            write_true_qualities(directory / f"{split}.true_qualities.jsonl", truths)
            report[f"{split}_pairs"] = len(comparisons)
            decided = [truth for truth in truths if truth.chosen != truth.rejected]
            wrong, total = wrong + sum(truth.flipped for truth in decided), total + len(decided)
        return report | {
            "pairs_with_known_truth": total,
            "wrong_label_share": wrong / total if total else None,
            "error_rate": settings.error_rate,
            "temperature": settings.temperature,
            "taste_share": settings.taste_share,
        }

    def read_preferences(self, directory: Path) -> Pairs:
        return tuple(read_comparisons(directory / f"{split}.jsonl") for split in ("train", "dev"))

    def read_truths(self, directory: Path) -> Truths:
        truths = (read_true_qualities(directory / f"{split}.true_qualities.jsonl") for split in ("train", "dev"))
        return tuple([truth.agrees for truth in split] for split in truths)

    def aspect_scorers(self) -> dict[str, Scorer]:
        from alarm.scorers.confidence import ConfidenceScorer, language_name
        from alarm.scorers.grammar import GrammarScorer
        from alarm.scorers.length import LengthScorer
        from alarm.scorers.readability import ReadabilityScorer

        scorers = (
            GrammarScorer(self.preset.reward_models.grammar_checker),
            ConfidenceScorer(source=language_name(self.preset.data.source_language)),
            ReadabilityScorer(),
            LengthScorer(),
        )
        return {scorer.name: scorer for scorer in scorers}

    def tools(self) -> dict[str, Scorer]:
        return self.aspect_scorers()

    def corpus_metrics(self, examples: Sequence[Example], responses: Sequence[str]) -> dict[str, Any]:
        from alarm.evaluation.translation import corpus_scores

        scores = corpus_scores(responses, [example.reference for example in examples])
        return {name: asdict(score) for name, score in scores.items()}


LABS.add(WMTLab.task_name, WMTLab)
