"""Made-up records whose generations a reader can tell apart: known spans, disagreements and hostile text."""

from __future__ import annotations

from pathlib import Path

from alarm.records import (
    Generation,
    PromptRow,
    sft_generations_path,
    write_generations,
    write_prompts,
    write_record,
)
from tests.synthetic_runs import ASPECTS, run

HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> & </script><b>bold</b>"
ASTRAL = "😀 a dogs runs."
"""Its first character is two units of UTF-16; the grammar span covers "a dogs"."""
PROMPTS = 14
SAME, BETTER, WORSE = ("A dog.", 0.5, 0.0), ("A dog runs.", 0.9, 1.0), ("Dog dog dog.", 0.2, 2.0)
"""Response, gold quality and holistic reward: of the SFT policy; better by both; better by the reward alone."""
ALARM = {0: BETTER, 1: WORSE, 3: (HOSTILE, 0.1, 3.0), 4: (ASTRAL, 0.6, 0.5)}
"""What `alarm` answers to some prompts, else as the SFT policy."""
SPANS = {ASTRAL: {"grammar": [(2, 8, -1.0)]}, WORSE[0]: {"grammar": [(0, 7, -1.0), (4, 12, -0.5)]}}
QUESTION = "Who built it, and when?"


def write_browsable(results: Path, scale: str = "tiny", seeds=(1, 2)) -> None:
    """Two tasks with the SFT policy, `holistic_only`, which answers like it, `alarm`, and one of the grid's cells."""
    for task in ("long_form_qa", "wmt"):
        for seed in seeds:
            write_record(results, run(task, "holistic_only", seed, scale=scale), _answers(task, {}))
            write_record(results, run(task, "alarm", seed, scale=scale), _answers(task, ALARM if seed == 1 else {}))
        write_record(results, run(task, "alarm@meta", seeds[0], scale=scale), _answers(task, {2: BETTER}))
        write_generations(sft_generations_path(results, scale, task), _answers(task, {}))
        write_prompts(results, scale, task, [_prompt(task, number) for number in range(PROMPTS)])


def prompt_id(number: int) -> str:
    return f"test-{number:02}"


def _prompt(task: str, number: int) -> PromptRow:
    if task == "wmt":
        return PromptRow(prompt_id(number), f"Ein Hund {number} <i>läuft</i>.", "A dog is running.")
    text = f"question: {QUESTION} context: {number} " + "The bridge stands. " * 30
    return PromptRow(prompt_id(number), text, "Someone, once.", {"question": QUESTION})


def _answers(task: str, answers: dict[int, tuple[str, float, float]]) -> list[Generation]:
    return [_generation(task, number, *answers.get(number, SAME)) for number in range(PROMPTS)]


def _generation(task: str, number: int, response: str, gold: float, holistic: float) -> Generation:
    scores = {"holistic": holistic, "holistic_raw": 10 * holistic, "gold": gold}
    scores |= {aspect: 0.25 for aspect in ASPECTS[task]}
    spans = SPANS.get(response, {"grammar": []}) if task == "wmt" else {"factuality": [(0, len(response), 0.5)]}
    return Generation(prompt_id(number), response, len(response.split()) + 1, scores, spans)
