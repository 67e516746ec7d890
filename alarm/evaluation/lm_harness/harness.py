"""Running lm-eval on a Hugging Face model, and its results as plain rows."""

from __future__ import annotations

import difflib
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from alarm.evaluation.lm_harness.prompts import cut_prompts
from alarm.records import PromptRow
from alarm.registry import unknown_name

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import PreTrainedTokenizerBase

TASKS = Path(__file__).parent / "tasks"
BOOTSTRAP = 100
"""Resamples behind a standard error; lm-eval draws no more than these for corpus metrics."""


@dataclass(frozen=True)
class HarnessMetric:
    """One number of one lm-eval task."""

    task: str
    name: str
    value: float
    stderr: float | None
    """By lm-eval's bootstrap over the examples; None where it was not asked for or the metric has none."""
    higher_is_better: bool | None
    """None where the task does not say."""


@dataclass(frozen=True)
class HarnessResult:
    """What one evaluation found, and what it depends on."""

    metrics: list[HarnessMetric]
    examples: Mapping[str, int]
    """Task to the number of its examples."""
    samples: list[Mapping[str, str]] = field(default_factory=list)
    """`id`, `prompt`, `reference` and `response` of each example of this suite's tasks; other tasks keep none."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Versions of lm-eval and of the tasks, generation settings, how many prompts were cut."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_task(
    model: str | Path,
    task: str,
    rows: Sequence[PromptRow],
    *,
    max_prompt_tokens: int,
    max_new_tokens: int,
    device: str = "cpu",
    batch_size: int = 32,
    bootstrap: int = BOOTSTRAP,
) -> HarnessResult:
    """Greedy responses of a model to a task's prompts, through lm-eval, and their scores against the references.

    The model answers as the policy does in greedy rollouts: it reads the same tokens, writes at most `max_new_tokens`,
    and never draws an id that is no text. BLEU, chrF and TER are sacreBLEU's.

    Args:
        model: a Hugging Face folder, or a name on the hub; encoder-decoder or causal.
        task: "wmt" or "long_form_qa".
        bootstrap: resamples behind the standard errors; 0 for none.
    Raises:
        ValueError: an unknown task, no rows, or a model that cannot be loaded.
    """
    file = TASKS / f"alarm_{task}.yaml"
    if not file.is_file():
        known = [path.stem.removeprefix("alarm_") for path in TASKS.glob("*.yaml")]
        raise ValueError(unknown_name("lm-eval task of this suite", task, known))
    if not rows:
        raise ValueError(f"there are no prompts of {task} to answer; give at least one")
    lm = load_model(model, device=device, batch_size=batch_size, max_length=max_prompt_tokens + max_new_tokens)
    prompts = cut_prompts(lm.tokenizer, [row.prompt for row in rows], max_tokens=max_prompt_tokens)
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["generation_kwargs"] |= _generation(lm, max_new_tokens)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / f"{task}.jsonl"
        documents = [
            {"id": row.id, "prompt": text, "reference": row.reference} for row, text in zip(rows, prompts, strict=True)
        ]
        data.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
        config["dataset_kwargs"] = {"data_files": {"test": str(data)}, "cache_dir": folder}
        results = _evaluate(lm, [config], limit=None, bootstrap=bootstrap, defaults=False)
    samples = sorted(results["samples"][config["task"]], key=lambda sample: sample["doc_id"])
    cut = sum(text != row.prompt for text, row in zip(prompts, rows, strict=True))
    shown = {name: value for name, value in config["generation_kwargs"].items() if name != "suppress_tokens"}
    return HarnessResult(
        _metrics(results),
        {config["task"]: len(samples)},
        [{**sample["doc"], "response": sample["filtered_resps"][0]} for sample in samples],
        _facts(results) | {"cut_prompts": cut, "generation": shown},
    )


def evaluate_stock_tasks(
    model: str | Path,
    tasks: Sequence[str],
    *,
    device: str = "cpu",
    batch_size: int = 32,
    limit: int | None = None,
    bootstrap: int = BOOTSTRAP,
) -> HarnessResult:
    """lm-eval's own tasks by name, such as those that show what alignment costs (its "tax") elsewhere.

    Args:
        limit: only the first so many examples of each task.
    Raises:
        ValueError: an unknown task; data that are neither on this disk nor to be had; or rolling likelihoods of an
            encoder-decoder, whose encoder lm-eval feeds a single end token, so that they mean nothing.
    """
    lm = load_model(model, device=device, batch_size=batch_size)
    results = _evaluate(lm, list(tasks), limit=limit, bootstrap=bootstrap, defaults=True)
    counts = {name: sizes["effective"] for name, sizes in results["n-samples"].items()}
    return HarnessResult(_metrics(results), counts, facts=_facts(results) | {"limit": limit})


def load_model(model: str | Path, *, device: str = "cpu", batch_size: int = 32, max_length: int | None = None) -> HFLM:
    """lm-eval's Hugging Face model in single precision; raises `ValueError` if it cannot be loaded."""
    with quiet():
        from lm_eval.models.huggingface import HFLM

        try:
            return HFLM(
                pretrained=str(model),
                device=device,
                dtype="float32",
                batch_size=batch_size,
                max_length=max_length,
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{model} is no language model that can be loaded ({reason})") from error


def forbidden_tokens(tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> list[int]:
    """Ids that a policy never draws: those beyond the tokenizer's, and all special ones but the end token."""
    special = {token for token in tokenizer.all_special_ids if token != tokenizer.eos_token_id}
    return sorted(special | set(range(len(tokenizer), vocabulary_size)))


def _generation(lm: HFLM, max_new_tokens: int) -> dict[str, Any]:
    """Settings under which lm-eval generates what a greedy rollout does."""
    settings = {
        "max_gen_toks": max_new_tokens,
        "suppress_tokens": forbidden_tokens(lm.tokenizer, lm.model.config.vocab_size),
    }
    if lm.backend == "seq2seq":
        # lm-eval adds the prompt's length to the limit, which in an encoder-decoder only the response counts towards;
        # the decoder's start token does.
        settings["max_length"] = max_new_tokens + 1
    return settings


def _evaluate(lm: HFLM, tasks: list[Any], *, limit: int | None, bootstrap: int, defaults: bool) -> Mapping[str, Any]:
    with quiet():
        import lm_eval

        manager = task_manager(defaults=defaults)
        built = _load_tasks(manager, tasks, encoder_decoder=lm.backend == "seq2seq")
        return lm_eval.simple_evaluate(
            model=lm, tasks=built, task_manager=manager, limit=limit, bootstrap_iters=bootstrap
        )


@cache
def task_manager(*, defaults: bool) -> TaskManager:
    """lm-eval's index of this suite's tasks, with its own thousands if asked for, which takes seconds to read."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS), include_defaults=defaults)


def _load_tasks(manager: TaskManager, tasks: Sequence[Any], *, encoder_decoder: bool) -> list[Any]:
    """lm-eval's tasks and groups with their data."""
    for name in tasks:
        if isinstance(name, str) and name not in manager.all_tasks:
            nearest = difflib.get_close_matches(name, manager.all_tasks, n=3)
            hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ", see `lm_eval ls tasks`"
            raise ValueError(f"unknown lm-eval task {name!r}{hint}")
    try:
        loaded = manager.load(list(tasks))
    except Exception as error:  # every host and format of data fails in its own way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(
            f"the data of lm-eval's {', '.join(map(str, tasks))} cannot be loaded ({reason}); fetch them once with a "
            "network and HF_HUB_OFFLINE unset"
        ) from error
    for name, task in loaded["tasks"].items():
        if encoder_decoder and task.OUTPUT_TYPE == "loglikelihood_rolling":
            raise ValueError(f"{name} asks for rolling likelihoods, which lm-eval cannot measure of an encoder-decoder")
    of_groups = {child for children in loaded["group_map"].values() for child in children}
    everything = {**loaded["groups"], **loaded["tasks"]}
    return [task for name, task in everything.items() if name not in of_groups]


def _metrics(results: Mapping[str, Any]) -> list[HarnessMetric]:
    """lm-eval's results as rows, in its order; a metric's filter is named where a task has several."""
    rows = []
    for task, values in results["results"].items():
        keys = [key for key in values if "," in key and "_stderr," not in key]
        filters = {key.partition(",")[2] for key in keys}
        for key in keys:
            name, _, chosen = key.partition(",")
            stderr = values.get(f"{name}_stderr,{chosen}")
            rows.append(
                HarnessMetric(
                    task,
                    name if len(filters) == 1 else f"{name} ({chosen})",
                    float(values[key]),
                    stderr if isinstance(stderr, float) else None,
                    results["higher_is_better"].get(task, {}).get(name),
                )
            )
    return rows


def _facts(results: Mapping[str, Any]) -> dict[str, Any]:
    return {"lm_eval": version("lm_eval"), "sacrebleu": version("sacrebleu"), "task_versions": results["versions"]}


@contextmanager
def quiet() -> Iterator[None]:
    """lm-eval's notes are silenced, its prints and bars are for a terminal, and its bootstrap stays in this process.

    One chunk of resamples is all it draws for a corpus metric, so that worker processes would only cost time.
    """
    import datasets

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    before = os.environ.get("DISABLE_MULTIPROC")
    bars = datasets.are_progress_bars_disabled()
    os.environ["DISABLE_MULTIPROC"] = "1"
    datasets.disable_progress_bars()
    try:
        # Progress bars are for a terminal; where there is none, nobody waits for them.
        with redirect_stdout(sys.stderr), nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
            yield
    finally:
        if not bars:
            datasets.enable_progress_bars()
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before
