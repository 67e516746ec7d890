"""A language model judges the test responses on record: which runs meet, what is asked, and the record of verdicts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alarm.environment import environment
from alarm.evaluation.judges import Judgement, OpenAIJudge, Pair, count_verdicts, load_prompt
from alarm.evaluation.judges.cache import AnswerCache
from alarm.evaluation.judges.client import Endpoint
from alarm.evaluation.judges.cost import Budget, Prices, check_estimates, prices_of, require_prices
from alarm.evaluation.judges.ledger import Ledger
from alarm.evaluation.judges.openai_judge import KIND, JudgeStoppedError
from alarm.evaluation.judges.questions import JudgeSettings
from alarm.experiment.merged_verdicts import merged
from alarm.records import Generation, JudgeRecord, hardware_kind, judge_path, read_judge, write_judge
from alarm.registry import UnknownNameError, unknown_name
from alarm.report.published import PAPER_METHODS
from alarm.report.runs import TaskRuns, read_runs
from alarm.report.verdicts import SFT_SEED, responses_checksum
from alarm.tasks.base import Example, Task

if TYPE_CHECKING:
    from alarm.experiment.lab import Lab
    from alarm.experiment.matrix import RunSpec

SFT = "sft"
"""Names the SFT policy among runs; its greedy responses are the same for every seed."""
MAX_ITEMS = 3000
ITEM_SEED = 42
"""The paper judges at most this many random test items, the same for all methods (arXiv:2403.06754, 4.1 and code)."""
CACHE_FOLDER = "judge"
"""Of answers, in the store."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgeRequest:
    """Which judge is asked, how, and what it may cost."""

    settings: JudgeSettings
    endpoint: Endpoint
    prices: Prices | None
    max_cost: float | None
    """USD for the whole invocation, in all its processes; None for no limit."""

    @classmethod
    def parse(
        cls,
        judge: str,
        *,
        max_cost: float | None = None,
        prices: tuple[float | None, float | None] = (None, None),
        **settings: Any,
    ) -> JudgeRequest:
        """From options: `openai:MODEL`, or `openai` for the default model; the server is named by the environment.

        Raises:
            ValueError: another kind of judge, an impossible setting, or a cap without prices.
        """
        kind, _, model = judge.partition(":")
        if kind != KIND or (":" in judge and not model):
            raise ValueError(f"unknown judge {judge!r}; name a model as {KIND}:MODEL, e.g. {KIND}:gpt-4o-mini")
        chosen = JudgeSettings(**({"model": model} if model else {}), **settings)
        endpoint = Endpoint.from_environment()
        known = prices_of(chosen.model, endpoint.host, given=prices)
        require_prices(known, max_cost, chosen.model)
        return cls(chosen, endpoint, known, max_cost)

    def open(
        self, task: str, cache: AnswerCache, *, invocation: str, on_step: Callable[[int, int], None] = lambda *_: None
    ) -> OpenAIJudge:
        """The judge of one task; all judges of an invocation share its cap."""
        budget = Budget(Ledger(cache.path.parent), invocation=invocation, cap=self.max_cost, prices=self.prices)
        return OpenAIJudge(
            load_prompt(task), cache, self.settings, endpoint=self.endpoint, budget=budget, on_step=on_step
        )


@dataclass(frozen=True)
class Match:
    """Two runs of one seed on the same prompts; verdicts are on `row`."""

    row: str
    column: str
    seed: int
    pairs: Sequence[Pair]


def find_matches(
    runs: TaskRuns,
    task: Callable[[], Task],
    *,
    methods: Sequence[str] = (),
    baselines: Sequence[str] = (),
    seeds: Sequence[int] = (),
    max_items: int = MAX_ITEMS,
) -> list[Match]:
    """Every method against every baseline, each two runs once per seed; seed k meets seed k.

    Args:
        runs: the records of one task.
        task: called for prompts and references where the records hold none.
        methods: run names, `sft` for the SFT policy; the paper's four unless given.
        baselines: the same; the paper's four unless given.
        seeds: all that both runs have unless given.
        max_items: how many test prompts are drawn at most, the same for all matches.
    Raises:
        ValueError: a run or seed has no record, nothing meets, or the prompts of the records cannot be found.
    """
    if max_items < 1:
        raise ValueError(f"--max-items must be at least 1, got {max_items}")
    meetings = _meetings(runs, methods, baselines, seeds)
    responses = {(name, seed): _responses(runs, name, seed) for row, column, seed in meetings for name in (row, column)}
    common = set.intersection(*map(set, responses.values()))
    if not common:
        raise ValueError(f"the runs of {runs.task} on record have no test prompt in common; run the older ones again")
    ids = draw_items(common, max_items)
    examples = find_examples(runs, task, ids)
    return [
        Match(
            row,
            column,
            seed,
            [Pair(examples[i], responses[row, seed][i].response, responses[column, seed][i].response) for i in ids],
        )
        for row, column, seed in meetings
    ]


def draw_items(ids: set[str], count: int) -> list[str]:
    """All ids in order, or `count` random ones of them; a function of the ids alone."""
    ordered = sorted(ids)
    if len(ordered) <= count:
        return ordered
    drawn = np.random.default_rng(ITEM_SEED).choice(len(ordered), size=count, replace=False)
    return [ordered[i] for i in sorted(drawn)]


def find_examples(runs: TaskRuns, task: Callable[[], Task], ids: Sequence[str]) -> dict[str, Example]:
    """Prompts and references of test items: those beside the records, else the task's own.

    Raises:
        ValueError: the task reads other data than the runs did, or lacks an item.
    """
    if runs.prompts is not None:
        examples = {row.id: Example(row.id, row.prompt, row.reference, row.fields) for row in runs.prompts.values()}
    else:
        own = task()
        if {record.data_fingerprint for record in runs.records} != {own.fingerprint}:
            raise ValueError(
                f"the {runs.task} runs were made with other data than this; name theirs with --data, or run again"
            )
        examples = {example.id: example for example in own.split("test")}
    lacking = [i for i in ids if i not in examples]
    if lacking:
        raise ValueError(f"{len(lacking)} test prompts of {runs.task} are unknown, such as {lacking[0]}; run again")
    return {i: examples[i] for i in ids}


def judge_matches(judge: OpenAIJudge, matches: Sequence[Match], runs: TaskRuns, results: Path) -> Path:
    """Ask about all matches and write their record, which has every pair even where asking ends early.

    Pairs without an answer are then `invalid`; the same call asks only for these. Returns the record's path.

    Raises:
        JudgeStoppedError: questions are left without an answer; the record of the others is written.
        ValueError: nothing could be asked; nothing is written.
    """
    pairs = [pair for match in matches for pair in match.pairs]
    try:
        judge.collect(pairs)
    except BaseException:  # Ctrl-C too: whatever ends it, the record says what is answered and what is missing
        if judge.missing(pairs)[0] < judge.estimate(pairs).questions:
            _write(results, judge_record(judge, matches, runs), runs)
        raise
    path = _write(results, judge_record(judge, matches, runs), runs)
    unanswered, reason = judge.missing(pairs)
    if unanswered:
        raise JudgeStoppedError(
            f"{unanswered} questions on {runs.task} got no answer (most often: {reason}); their pairs are invalid in "
            f"{path}: run the same command again, which asks only what is not answered yet"
        )
    return path


def _write(results: Path, record: JudgeRecord, runs: TaskRuns) -> Path:
    """Write the record, together with what an earlier one says of other pairs."""
    path = judge_path(results, record.scale, record.task, record.judge)
    return write_judge(results, merged(record, read_judge(path) if path.is_file() else None, runs))


def judge_record(judge: OpenAIJudge, matches: Sequence[Match], runs: TaskRuns) -> JudgeRecord:
    """The verdicts so far, with everything that they depend on."""
    judged = [(match, judge.judgements(match.pairs)) for match in matches]
    everything = [judgement for _, judgements in judged for judgement in judgements]
    facts = {
        "items": len(matches[0].pairs),
        "item_seed": ITEM_SEED,
        "seeds": sorted({match.seed for match in matches}),
        "pairs": len(everything),
        "verdicts": count_verdicts(everything),
        **judge.facts([pair for match in matches for pair in match.pairs]),
        "responses": _checksums(runs, matches),
    }
    return JudgeRecord(
        task=runs.task,
        scale=runs.scale,
        judge=judge.name,
        facts=facts,
        comparisons=[_comparison(match, judgements) for match, judgements in judged],
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(),
    )


def _comparison(match: Match, judgements: Sequence[Judgement]) -> dict[str, Any]:
    return {
        "row": match.row,
        "column": match.column,
        "seed": match.seed,
        "ids": [pair.id for pair in match.pairs],
        "verdicts": [judgement.verdict.value for judgement in judgements],
        "choices": [[choice.value for choice in judgement.choices] for judgement in judgements],
    }


def _checksums(runs: TaskRuns, matches: Sequence[Match]) -> Mapping[str, Mapping[str, str]]:
    """Run to seed to the sha256 of its file of responses, which tells verdicts on these from verdicts on later ones."""
    found: dict[str, dict[str, str]] = {}
    for match in matches:
        for name in (match.row, match.column):
            if name == SFT:
                found[SFT] = {SFT_SEED: responses_checksum(runs.sft)}
            else:
                found.setdefault(name, {})[str(match.seed)] = runs.finished[name][match.seed].generations["sha256"]
    return found


def _meetings(
    runs: TaskRuns, methods: Sequence[str], baselines: Sequence[str], seeds: Sequence[int]
) -> list[tuple[str, str, int]]:
    """Rows and columns that meet, once each whichever stands first, with the seeds that both have."""
    known = [*runs.finished, *([SFT] if runs.sft else [])]
    for name in (*methods, *baselines):
        if name not in known:
            raise UnknownNameError(unknown_name(f"run of {runs.task} on record", name, known))
    at_hand = [name for name in PAPER_METHODS if name in known]
    met: set[frozenset[str]] = set()
    found = []
    for row, column in product(methods or at_hand, baselines or at_hand):
        if row == column or frozenset((row, column)) in met:
            continue
        met.add(frozenset((row, column)))
        found += [(row, column, seed) for seed in _common_seeds(runs, (row, column), seeds)]
    if not found:
        raise ValueError(
            f"no two runs of {runs.task} on record meet with a common seed; run `pytest benchmarks` first, or name "
            f"--method and --baseline among: {', '.join(known)}"
        )
    return found


def _common_seeds(runs: TaskRuns, names: Sequence[str], asked: Sequence[int]) -> list[int]:
    having = [set(runs.finished[name]) for name in names if name != SFT]
    common = set.intersection(*having)
    lacking = [seed for seed in asked if seed not in common]
    if lacking:
        raise ValueError(
            f"{' and '.join(names)} of {runs.task} have no run with seed {lacking[0]}; seeds of both on record: "
            f"{', '.join(map(str, sorted(common))) or 'none'}"
        )
    return list(dict.fromkeys(asked)) or sorted(common)


def _responses(runs: TaskRuns, name: str, seed: int) -> Mapping[str, Generation]:
    return runs.sft if name == SFT else runs.generations(name, seed)


def judge_task(lab: Lab, request: JudgeRequest, specs: Sequence[RunSpec], *, results: Path, invocation: str) -> Path:
    """Judge these runs of a task, built or awaited first, against the paper's methods with the same seeds.

    Opponents that are not among `specs` are taken from the records at hand. Returns the record's path.

    Raises:
        ValueError: fewer than two runs are there, asking would pass the cap, or the server refuses.
        JudgeStoppedError: questions are left without an answer; the record of the others is written.
    """
    from alarm.experiment.publish import publish_run
    from alarm.experiment.run import Run

    records = [Run(lab, spec).record() for spec in specs]
    for record in records:
        publish_run(results, record)
    recorded = read_runs(results, lab.preset.scale)
    runs = one_hardware(recorded, lab.task_name, hardware_kind({"device": lab.device}))
    seeds = list(dict.fromkeys(spec.seed for spec in specs))
    complete = [name for name, finished in runs.finished.items() if set(seeds) <= finished.keys()]
    methods = list(dict.fromkeys(record.run_name for record in records if record.run_name in complete))
    baselines = [name for name in PAPER_METHODS if name in complete]
    matches = find_matches(runs, lambda: lab.task, methods=methods, baselines=baselines, seeds=seeds)
    cache = AnswerCache(lab.store.root / CACHE_FOLDER)
    lab.progress.start(f"{lab.task_name} judge {request.settings.model}")
    judge = request.open(lab.task_name, cache, invocation=invocation, on_step=lab.progress.step)
    try:
        estimate = judge.estimate([pair for match in matches for pair in match.pairs])
        logger.info("%s, %s at %s: %s", lab.task_name, judge.name, request.endpoint.host, estimate)
        check_estimates([estimate], request.max_cost, spent=judge.budget.spent)
        return judge_matches(judge, matches, runs, results)
    finally:
        judge.close()


def one_hardware(runs: Sequence[TaskRuns], task: str, hardware: str | None) -> TaskRuns:
    """A task's runs; where some were made on CPU and some on GPU, those of the named kind.

    Raises:
        ValueError: the task has no such runs, or runs of both kinds and none is named.
    """
    found = [group for group in runs if group.task == task and hardware in (None, group.hardware_kind)]
    if not found:
        raise UnknownNameError(unknown_name("task on record", task, {group.task for group in runs}))
    if len(found) > 1:
        raise ValueError(f"{task} has runs on both cpu and gpu, which are not compared; choose with --hardware")
    return found[0]
