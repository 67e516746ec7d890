"""Growth of cost: exponents of exact powers, workloads that differ in one quantity, the table of what was stored."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from alarm.report.benchmark_tables import benchmark_table
from alarm.report.growth_block import ARITHMETIC, FITTED
from benchmarks.throughput.floor import Shape, forward_flops
from benchmarks.throughput.growth import BASE, Growth, Ladder, exponent, fitted, growths
from tests.test_measured_throughput import UPDATE, benchmark, write

QUANTITIES = {
    "batch": {"batch", "mini_batch"},
    "response length": {"response_tokens"},
    "hidden size": {"hidden", "feedforward"},
    "layers": {"layers"},
}


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_an_exact_power_is_found(power):
    sizes = [16, 32, 64, 128]
    assert exponent(sizes, [0.003 * size**power for size in sizes]) == pytest.approx(power, abs=1e-12)


def test_the_exponent_rests_on_the_median_round():
    rounds = {"rollout": [[1.0, 1.0, 50.0], [2.0, 2.0, 2.0], [4.0, 0.1, 4.0]]}
    assert fitted([1, 2, 4], rounds) == {"rollout": pytest.approx(1.0)}


@pytest.mark.parametrize("growth", growths(), ids=lambda growth: growth.name)
def test_one_quantity_doubles_and_all_else_stays(growth):
    shapes = [Shape.of(workload) for workload in growth.workloads.values()]
    assert shapes[0] == Shape.of(BASE) and len(shapes) == 4
    for smaller, larger in pairwise(shapes):
        doubled = {name: 2 * getattr(smaller, name) for name in QUANTITIES[growth.name]}
        assert larger == replace(smaller, **doubled)


def test_the_arithmetic_grows_with_the_batch_and_less_with_what_is_only_part_of_it():
    found = {growth.name: growth.arithmetic_exponent() for growth in growths()}
    assert found["batch"] == pytest.approx(1.0)
    assert 0.5 < found["response length"] < 1, "prompts stay as long"
    assert 1.5 < found["hidden size"] < 2, "attention and the head grow by one factor only"
    assert 0.5 < found["layers"] < 1, "the head is there once"


def test_a_ladder_measures_every_size_in_every_round():
    ppo = replace(BASE.ppo, max_prompt_tokens=40, max_new_tokens=4, epochs=1)
    small = replace(BASE, policy=replace(BASE.policy, hidden_size=16, feedforward_size=32), ppo=ppo)
    sizes = {n: replace(small, ppo=replace(ppo, batch_size=n, mini_batch_size=n)) for n in (2, 4)}
    ladder = Ladder(Growth("batch", sizes), "cpu")
    try:
        for _ in range(3):
            ladder.climb()
        found = ladder.found()
    finally:
        ladder.close()
    assert found["sizes"] == [2, 4] and found["shapes"]["batch"] == 2
    assert {phase: [len(rounds) for rounds in by_size] for phase, by_size in found["seconds"].items()} == {
        "rollout": [2, 2],
        "update": [2, 2],
    }
    assert set(found["exponents"]) == {"rollout", "update"}
    ratio = forward_flops(Shape.of(sizes[4])) / forward_flops(Shape.of(sizes[2]))
    assert 2 ** found["arithmetic_exponent"] == pytest.approx(ratio)


def growing(quantity: str) -> dict:
    return benchmark(
        f"test_throughput_growth[{quantity}-cpu]",
        {"growth": quantity},
        quantity=quantity,
        sizes=[8, 16],
        shapes={"hidden": 64, "prompt_tokens": 32},
        seconds={"rollout": [[0.1, 0.2, 0.3], [0.4]], "update": [[1.0], [2.0]]},
        exponents={"rollout": 1.0, "update": 0.75},
        arithmetic_exponent=0.875,
    )


def test_stored_growth_is_a_block_of_its_own(tmp_path):
    table = benchmark_table(write(tmp_path / "cpu.json", UPDATE, growing("batch"), growing("layers")))
    phases, block = table.blocks
    assert phases.rows == ["update"]
    assert block.title == "How cost grows (smallest: hidden 64, prompt tokens 32)"
    assert block.rows == [f"{p}: {q} 8, 16" for q in ("batch", "layers") for p in ("rollout", "update")]
    row = "rollout: batch 8, 16"
    assert [block.cells[row, c].measured.mean for c in block.columns] == [0.2, 0.4, 1.0, 0.875]
    assert block.columns[2:] == [FITTED, ARITHMETIC] and block.cells[row, "x1"].note == "[0.1000, 0.3000]"
    assert "×2, seconds" in table.markdown() and "exponent of the arithmetic" in table.markdown()


def test_a_file_without_growth_says_nothing_of_it(tmp_path):
    assert "exponent" not in benchmark_table(write(tmp_path / "cpu.json", UPDATE)).markdown()
