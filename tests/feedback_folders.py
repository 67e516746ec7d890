"""A folder in QA-Feedback's published layout, small, its questions and feedback from the generated world."""

from __future__ import annotations

from pathlib import Path

from alarm.tasks.long_form_qa import LongFormQA
from alarm.tasks.qa_feedback import PREDICTIONS, write_feedback
from alarm.tasks.worlds.qa import write_world
from alarm.tasks.worlds.qa_annotators import annotate

SIZES = {"sft": 8, "train": 24, "dev": 8, "test": 8}


def qa_feedback(folder: Path, *, seed: int = 3) -> Path:
    """Write all six files into `folder` and return it."""
    write_world(folder, seed=seed, sizes=SIZES)
    task = LongFormQA(folder)
    for name, split in (("train_feedback", "train"), ("dev_feedback", "dev")):
        examples = task.split(split)[:8]
        answers = [example.reference for example in examples]
        predictions = [(answers[i:] + answers[:i])[:PREDICTIONS] for i in range(len(answers))]
        records, _ = annotate(examples, predictions, temperature=0.1, error_rate=0.1, span_error_rate=0.1, seed=seed)
        write_feedback(folder / f"{name}.json", records)
    return folder
