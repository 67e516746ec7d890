"""Throughput by phase: `pytest benchmarks -k throughput`, one process, random weights, nothing trained or fetched.

Options: `--scale`, `--device`, and pytest-benchmark's own, such as `--benchmark-json FILE`. At scale `paper` the
networks have the published sizes.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from alarm.scorers.reader import Reader
from benchmarks.throughput import machine
from benchmarks.throughput.growth import Ladder, growths
from benchmarks.throughput.machine import matrix_rates
from benchmarks.throughput.meter import Cost, Laps, Meter
from benchmarks.throughput.networks import reward_model_dtype
from benchmarks.throughput.subject import TEXT_SCORERS, TOOLS, Subject
from benchmarks.throughput.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
IMPORT = """
import time, torch
started = time.perf_counter()
import alarm
print(time.perf_counter() - started)
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.option
    kind = torch.device(option.device).type
    workloads = [w for w in WORKLOADS[option.scale] if w.training or "reward_model" not in metafunc.fixturenames]
    if "scorer" in metafunc.fixturenames:
        plan = [(workload, scorer) for workload in workloads for scorer in workload.scorers]
        ids = [f"{workload.name}-{kind}-{scorer}" for workload, scorer in plan]
        metafunc.parametrize(("workload", "scorer"), plan, ids=ids)
    elif "growth" in metafunc.fixturenames:
        # Measured on CPU at `tiny`: elsewhere such sizes would tell of launches, not of work.
        found = growths() if (option.scale, kind) == ("tiny", "cpu") else []
        metafunc.parametrize("growth", found, ids=[f"{growth.name}-{kind}" for growth in found])
    elif "workload" in metafunc.fixturenames:
        metafunc.parametrize("workload", workloads, ids=[f"{workload.name}-{kind}" for workload in workloads])


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> str:
    return pytestconfig.option.device


@pytest.fixture
def meter(benchmark, device: str, pytestconfig: pytest.Config) -> Meter:
    """Measures this test's phase; the first one in a run measures the machine's matrix rates before."""
    rates = pytestconfig.throughput.matrix_rates
    if not rates:
        dtypes = {"float32", *(workload.policy.dtype for workload in WORKLOADS[pytestconfig.option.scale])}
        rates.update(matrix_rates(device, sorted(dtypes), size=machine.MATRIX_SIZE))
    return Meter(benchmark, device, rates)


@pytest.fixture(scope="session")
def subjects(device: str) -> Iterator:
    """A function from a workload to what runs it; the one before is let go of."""
    shared: dict = {}
    current: list[Subject] = []

    def subject_of(workload) -> Subject:
        if not current or current[0].workload is not workload:
            for old in current:
                old.close()
            current[:] = []
            if torch.device(device).type == "cuda":
                torch.cuda.empty_cache()
            current.append(Subject(workload, device, shared))
        return current[0]

    yield subject_of
    for last in current:
        last.close()


@pytest.fixture
def subject(workload, subjects) -> Subject:
    return subjects(workload)


@pytest.fixture
def reward_model(subject) -> Reader:
    """What is trained; workloads without such work are left out."""
    pytest.importorskip("trl", reason="reward models are trained by trl, which is not installed")
    return subject.make_reader()


@pytest.fixture
def scored(subject) -> Subject:
    """The workload, if the tools of PPO's rewards are there."""
    require_tool(subject.workload.aspect)
    return subject


def require_tool(scorer: str) -> None:
    """Skip where the package behind a scorer of text is not installed."""
    if scorer in TOOLS:
        pytest.importorskip(TOOLS[scorer], reason=f"{scorer} is scored by {TOOLS[scorer]}, which is not installed")


def sampled(subject: Subject) -> dict[str, float]:
    ppo = subject.workload.ppo
    return {"tokens": ppo.batch_size * ppo.max_new_tokens, "responses": ppo.batch_size}


def ppo_costs(subject: Subject) -> dict[str, Cost]:
    """Of the phases of an iteration that multiply matrices."""
    drawn, scores = subject.batch
    per_token = subject.compose(drawn, scores).per_token
    return {
        "rollout": subject.cost("rollout", subject.roll),
        **{name: subject.cost(name, lambda name=name: subject.score(name, drawn.responses)) for name in scores},
        "update": subject.cost("update", lambda: subject.update(drawn, per_token)),
    }


def test_throughput_rollout(meter, subject):
    """Sampling a batch of responses."""
    ppo = subject.workload.ppo
    drawn = subject.roll()
    assert drawn.batch.response_mask.shape == (ppo.batch_size, ppo.max_new_tokens)
    assert drawn.batch.response_mask.all(), "a response has ended"
    assert set(drawn.batch.prompt_mask.sum(dim=1).tolist()) == {ppo.max_prompt_tokens}
    meter(
        subject.roll,
        rounds=subject.workload.rounds,
        work=sampled(subject),
        dtype=subject.workload.policy.dtype,
        # Counted now that the networks are there: their making is no part of it.
        cost=subject.cost("rollout", subject.roll),
        estimated_bytes=subject.memory.phases["rollout"],
        facts={"shapes": subject.workload.shapes()},
    )


def test_throughput_scoring(meter, subject, scorer):
    """One scorer on a batch: learned ones on texts of numbers, others on English captions as long."""
    require_tool(scorer)
    count = subject.workload.ppo.batch_size
    found = subject.scorers[scorer]
    common = {"rounds": subject.workload.rounds, "work": {"responses": count}}
    facts = {"shapes": subject.workload.shapes(), "version": found.version}
    if scorer in TEXT_SCORERS:
        # New texts in every round, each measured anew: scorers and their tools remember texts.
        batches = iter([subject.captions(seed=seed) for seed in range(subject.workload.rounds + 1)])
        meter(lambda: found.score([""] * count, next(batches)), facts=facts, **common)
        return
    responses = subject.responses(count, seed=8)

    def score() -> None:
        assert len(subject.score(scorer, responses)) == count

    meter(
        score,
        dtype=str(reward_model_dtype(subject.device) if subject.workload.holistic else torch.float32).split(".")[1],
        cost=subject.cost(f"scoring {scorer}", score),
        estimated_bytes=subject.scoring_bytes if scorer == "holistic" else None,
        facts=facts,
        **common,
    )


def test_throughput_composition(meter, scored):
    """From scores to ALaRM's per-token rewards."""
    drawn, scores = scored.batch
    assert scored.compose(drawn, scores).per_token.shape == drawn.batch.response_mask.shape
    meter(
        lambda: scored.compose(drawn, scores),
        rounds=max(20, scored.workload.rounds),
        work=sampled(scored),
        facts={"shapes": scored.workload.shapes()},
    )


def test_throughput_update(meter, scored):
    """One update of the policy, predictions before it included."""
    drawn, scores = scored.batch
    per_token = scored.compose(drawn, scores).per_token
    ppo = scored.workload.ppo
    cost = scored.cost("update", lambda: scored.update(drawn, per_token))
    report = scored.update(drawn, per_token)
    assert (report["epochs"], report["skipped_mini_batches"]) == (ppo.epochs, 0)
    scored.trainer.optimizer.zero_grad()
    meter(
        lambda: scored.update(drawn, per_token),
        rounds=scored.workload.rounds,
        work={**sampled(scored), "learned_tokens": ppo.epochs * ppo.batch_size * ppo.max_new_tokens},
        dtype=scored.workload.policy.dtype,
        cost=cost,
        estimated_bytes=scored.memory.phases["update, gradients included"],
        facts={"shapes": scored.workload.shapes()},
    )


def test_throughput_iteration(meter, benchmark, scored):
    """A whole iteration of PPO as runs make it: rollout, scoring by two scorers, composition, update."""
    costs = ppo_costs(scored).values()
    laps = Laps(scored.device)

    def iterate() -> None:
        laps.start()
        scored.iterate(laps)

    meter(
        iterate,
        rounds=scored.workload.rounds,
        work=sampled(scored),
        dtype=scored.workload.policy.dtype,
        cost=Cost(sum(cost.flops for cost in costs), max(cost.tensor_bytes for cost in costs)),
        facts={"shapes": scored.workload.shapes(), "estimated_bytes": scored.memory.total},
    )
    benchmark.extra_info["phase_seconds"] = laps.medians()


def test_throughput_reward_model_step(meter, benchmark, subject, reward_model):
    """Training steps of a reward model on comparisons, by TRL's trainer."""
    settings = subject.workload.training.settings
    cost = subject.cost("reward model", lambda: subject.train(reward_model))
    seconds: list[float] = []

    def train() -> None:
        times: list[float] = []
        losses = subject.train(reward_model, on_step=lambda *_: times.append(time.perf_counter()))
        assert len(losses) == settings.steps
        seconds.extend(later - earlier for earlier, later in itertools.pairwise(times))

    meter(
        train,
        rounds=3,
        work={"pairs": settings.steps * settings.batch_size},
        cost=cost,
        per_round=settings.steps,
        facts={"shapes": subject.workload.shapes(), "steps": settings.steps, "pairs_per_step": settings.batch_size},
    )
    # Without what the trainer does before its first step.
    benchmark.extra_info["seconds_between_steps"] = statistics.median(seconds)


def test_throughput_strength_ensemble(meter, subject, reward_model):
    """Cross-fitted preference strength: an ensemble trained and all comparisons scored."""
    training = subject.workload.training
    trained = training.recipes.ensemble_size * training.recipes.ensemble_steps * training.settings.batch_size
    facts = {"models": training.recipes.ensemble_size, "steps_per_model": training.recipes.ensemble_steps}
    meter(subject.measure_strength, rounds=2, work={"pairs": trained}, facts={**facts, "scored_pairs": training.pairs})


def test_throughput_meta_step(meter, subject, reward_model):
    """MetaRM's steps: two gradients each, of the difference loss and of the preference loss."""
    steps = subject.workload.training.recipes.meta_steps

    def adapt() -> None:
        assert subject.adapt(reward_model)["steps"] == steps

    meter(
        adapt,
        rounds=3,
        work={"steps": steps},
        cost=subject.cost("meta", adapt),
        per_round=steps,
        facts={"shapes": subject.workload.shapes()},
    )


def test_throughput_growth(meter, benchmark, device, growth):
    """A rollout and an update at sizes that double one quantity; a round visits every size."""
    ladder = Ladder(growth, device)
    try:
        meter(ladder.climb, rounds=4, work={"updates": len(growth.workloads)})
        benchmark.extra_info |= ladder.found()
    finally:
        ladder.close()


def test_throughput_rendering(meter, tmp_path, pytestconfig):
    """All tables and figures of a scale from records, made up so that they are always as many."""
    if pytestconfig.option.scale == "paper":
        pytest.skip("the same at every scale; measured at tiny and small")
    from alarm.report.render import render
    from tests.synthetic_runs import write_everything

    shutil.copytree(ROOT / "results" / "published", tmp_path / "published")
    write_everything(tmp_path, scale="tiny")
    tables = sum(path.suffix == ".md" for path in render(tmp_path, "tiny")) - 1
    assert tables > 10
    meter(lambda: render(tmp_path, "tiny"), rounds=2, work={"tables": tables})


def test_throughput_many_runs(meter, tmp_path, pytestconfig):
    """The same from a thousand stored runs, rendered once: at most 30 s are promised."""
    if pytestconfig.option.scale != "tiny":
        pytest.skip("the same at every scale; measured at tiny")
    from alarm.report.render import render
    from tests.synthetic_runs import write_many

    shutil.copytree(ROOT / "results" / "published", tmp_path / "published")
    runs = write_many(tmp_path, runs=1000)
    meter(lambda: render(tmp_path, "tiny"), rounds=1, warmup_rounds=0, work={"runs": runs})


def test_throughput_import(meter, benchmark, pytestconfig):
    """`import alarm` beyond `import torch`, each time in a new process."""
    if pytestconfig.option.scale == "paper":
        pytest.skip("the same at every scale; measured at tiny and small")
    seconds: list[float] = []

    def load() -> None:
        process = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=ROOT)
        seconds.append(float(process.stdout))

    meter(load, rounds=3, work={"imports": 1})
    benchmark.extra_info["seconds_beyond_torch"] = statistics.median(seconds[1:])
