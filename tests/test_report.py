"""Tables and figures from records alone: right numbers, everything visible, nothing mixed, missing parts named."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alarm.evaluation.statistics import Estimate, holm
from alarm.evaluation.win_rates import Spread, outcomes, spread, win_rate
from alarm.records import RecordError, generations_of, read_record, record_path, write_record
from alarm.report.comparisons import correct
from alarm.report.curves_figure import curve
from alarm.report.published import PAPER_METHODS, PAPER_TASKS, Number, Published
from alarm.report.render import render
from alarm.report.runs import read_runs
from alarm.report.tables import Cell
from tests.synthetic_runs import (
    ASPECTS,
    EFFECTS,
    ENVIRONMENT,
    PAPER_TASK_NAMES,
    run,
    write_experiment,
    write_run,
    write_shared,
)

PUBLISHED = Path(__file__).resolve().parents[1] / "results" / "published" / "alarm.json"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    write_experiment(results)
    return results, render(results, "tiny")


def cells(results: Path, name: str) -> dict[tuple[str, str, str], dict[str, str]]:
    text = (results / "tiny" / "tables" / f"{name}.csv").read_text()
    return {(r["block"], r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(text))}


def values(results: Path, task: str, name: str, seed: int, score: str) -> list[float]:
    generations = generations_of(read_record(record_path(results, "tiny", task, name, seed)))
    return [g.scores[score] for g in sorted(generations, key=lambda g: g.id)]


def edit_generations(path: Path, edit) -> None:
    record = read_record(path)
    write_record(path.parents[4], record, edit(generations_of(record)))


def test_every_table_and_figure_of_the_paper_is_there(rendered):
    _, paths = rendered
    names = {path.name for path in paths}
    assert {
        "table1_long_form_qa_win_rates.md",
        "table2_long_form_qa_means.csv",
        "table3_wmt_win_rates.csv",
        "table4_wmt_means.md",
        "table5_selection_ablation.md",
        "figure3_long_form_qa_selection.png",
        "figure4_wmt_selection.png",
        "curves_wmt.png",
        "gold_quality_wmt.md",
        "setup_wmt.md",
    } <= names
    assert paths[-1].name == "README.md" and all(path.stat().st_size > 100 for path in paths)
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths if path.suffix == ".png")
    readme = paths[-1].read_text()
    for path in paths:
        if path.suffix == ".png":
            assert f"figures/{path.name}" in readme
        elif path.suffix == ".md" and path.name != "README.md":
            assert path.read_text().splitlines()[0].lstrip("# ") in readme


def test_a_win_rate_cell_is_what_the_generations_say(rendered):
    results, _ = rendered
    rates = [
        win_rate(
            values(results, "wmt", "alarm", seed, "grammar"),
            values(results, "wmt", "holistic_only", seed, "grammar"),
            higher_is_better=False,
        ).rate
        for seed in (1, 2, 3)
    ]
    cell = cells(results, "table3_wmt_win_rates")["By grammar error rate (lower wins)", "alarm", "holistic_only"]
    assert float(cell["mean"]) == pytest.approx(np.mean(rates)) and float(cell["mean"]) > 50
    assert float(cell["sd"]) == pytest.approx(np.std(rates, ddof=1)) and cell["n"] == "3"
    assert (float(cell["published_mean"]), float(cell["published_sd"])) == (57.80, 4.29)
    assert cell["verdict"] == "same direction"
    assert float(cell["low"]) < float(cell["mean"]) < float(cell["high"])


def test_the_average_is_over_the_papers_other_methods_only(rendered):
    results, _ = rendered
    table = cells(results, "table1_long_form_qa_win_rates")
    block = "By holistic reward"
    for row in ("alarm", "mine"):
        others = [float(table[block, row, m]["mean"]) for m in PAPER_METHODS if m != row]
        assert float(table[block, row, "average"]["mean"]) == pytest.approx(np.mean(others))


def test_win_rates_of_both_sides_sum_to_100_and_share_one_p_value(rendered):
    results, _ = rendered
    table = cells(results, "table1_long_form_qa_win_rates")
    pairs = [key for key in table if key[2] != "average"]
    assert len(pairs) == 3 * (5 * 4 - 4), "columns are the paper's methods only"
    for block, row, column in pairs:
        if row not in PAPER_METHODS:
            continue
        cell, mirror = table[block, row, column], table[block, column, row]
        assert float(cell["mean"]) + float(mirror["mean"]) == pytest.approx(100)
        assert float(cell["p_holm"]) == pytest.approx(float(mirror["p_holm"]))


def test_table_5_is_a_round_robin_of_the_aspects(rendered):
    results, _ = rendered
    table = cells(results, "table5_selection_ablation")
    for task in PAPER_TASK_NAMES:
        aspects = ASPECTS[task]
        means = [float(table[task, aspect, "holistic"]["mean"]) for aspect in aspects]
        assert sum(means) == pytest.approx(200), "as in the paper: four averages around 50"
        published = [float(table[task, aspect, "holistic"]["published_mean"]) for aspect in aspects]
        assert sum(published) == pytest.approx(200, abs=0.05)


def test_means_differences_and_corpus_scores(rendered):
    results, _ = rendered
    table = cells(results, "table4_wmt_means")
    alarm = [np.mean(values(results, "wmt", "alarm", seed, "gold")) for seed in (1, 2, 3)]
    base = [np.mean(values(results, "wmt", "holistic_only", seed, "gold")) for seed in (1, 2, 3)]
    cell = table["", "alarm", "gold"]
    assert float(cell["mean"]) == pytest.approx(np.mean(alarm))
    assert float(cell["effect"]) == pytest.approx(np.mean(alarm) - np.mean(base))
    assert table["", "holistic_only", "gold"]["effect"] == ""
    assert table["", "alarm", "aspect"]["published_mean"] == pytest.approx("0.01203")
    assert table["", "alarm", "holistic"]["verdict"] == "same direction"
    assert float(table["", "alarm", "bleu"]["mean"]) == pytest.approx(30.8)
    assert "`nrefs:1|tok:13a`" in (results / "tiny/tables/table4_wmt_means.md").read_text()


def test_gold_gain_is_paired_with_the_sft_policy(rendered):
    results, _ = rendered
    cell = cells(results, "gold_quality_wmt")["", "alarm", "gain"]
    assert float(cell["low"]) > 0 and cell["n"] == "3"
    assert ("", "alarm+length", "gain") in cells(results, "gold_quality_wmt")


def test_every_caption_names_scale_hardware_date_versions_and_commit(rendered):
    results, paths = rendered
    for path in paths:
        if path.suffix == ".md" and path.name != "README.md":
            text = path.read_text()
            for part in ("Scale `tiny`", "CPU: Test Processor, 1 thread", "torch 2.13.0", "commit 0123456789"):
                assert part in text, path.name
    assert "2026-01-01 to 2026-01-03" in (results / "tiny/tables/table1_long_form_qa_win_rates.md").read_text()


def test_rendering_twice_changes_nothing(rendered):
    results, paths = rendered
    before = {path: path.read_bytes() for path in paths}
    assert render(results, "tiny") == paths
    assert {path: path.read_bytes() for path in paths} == before


def test_the_order_of_prompts_in_a_file_does_not_matter(tmp_path):
    for method in PAPER_METHODS:
        write_run(tmp_path, run("wmt", method, 1))
    before = {p: p.read_text() for p in render(tmp_path, "tiny") if p.suffix == ".csv"}
    for method in PAPER_METHODS[:2]:
        edit_generations(record_path(tmp_path, "tiny", "wmt", method, 1), lambda generations: generations[::-1])
    render(tmp_path, "tiny")
    # Sums in another order may differ in the last digit, nothing else may.
    for path, text in before.items():
        for old, new in zip(csv.reader(io.StringIO(text)), csv.reader(path.open()), strict=True):
            for a, b in zip(old, new, strict=True):
                assert a == b or float(a) == pytest.approx(float(b), rel=1e-9)


def test_missing_and_failed_runs_stay_visible(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path, run("wmt", "alarm", seed))
    write_run(tmp_path, run("wmt", "holistic_only", 1))
    write_run(tmp_path, run("wmt", "weighted_sum", 1, error="NaN reward in iteration 3"))
    paths = render(tmp_path, "tiny")
    table = cells(tmp_path, "table3_wmt_win_rates")
    block = "By holistic reward"
    assert table[block, "alarm", "holistic_only"]["n"] == "1"
    assert table[block, "alarm", "holistic_only"]["sd"] == ""
    assert table[block, "alarm", "holistic_only"]["missing"] == "seed 2"
    assert table[block, "alarm", "weighted_sum"]["missing"] == "no run of weighted_sum"
    assert table[block, "alarm", "weighted_sum"]["published_mean"] == "51.74", "the published value stays"
    text = (tmp_path / "tiny/tables/table3_wmt_win_rates.md").read_text()
    assert "weighted_sum seed 1 (failed: NaN reward in iteration 3)" in text
    assert "wmt aspect_only seed 1" in text
    assert "failed run: wmt weighted_sum seed 1: NaN reward in iteration 3" in paths[-1].read_text()


def test_cpu_and_gpu_runs_never_share_a_table(tmp_path):
    gpu = {**ENVIRONMENT, "device": "cuda:0", "hardware": "GPU: Test Accelerator"}
    for method in PAPER_METHODS:
        write_run(tmp_path, run("wmt", method, 1))
        write_run(tmp_path, run("wmt", method, 2, environment=gpu))
    render(tmp_path, "tiny")
    for name, hardware, other in (
        ("table3_wmt_win_rates", "CPU: Test Processor", "GPU:"),
        ("table3_wmt_win_rates_gpu", "GPU: Test Accelerator", "CPU:"),
    ):
        text = (tmp_path / f"tiny/tables/{name}.md").read_text()
        assert hardware in text and other not in text
        assert cells(tmp_path, name)["By holistic reward", "alarm", "holistic_only"]["n"] == "1"


def test_runs_on_different_data_are_called_out(tmp_path):
    write_run(tmp_path, run("wmt", "alarm", 1))
    write_run(tmp_path, run("wmt", "holistic_only", 1, data_fingerprint="other", settings={"ppo": {}}))
    readme = render(tmp_path, "tiny")[-1].read_text()
    assert "2 different data" in readme and "2 different settings" in readme


def test_an_aspect_the_paper_did_not_select_is_not_set_beside_its_numbers(tmp_path):
    for method in PAPER_METHODS:
        write_run(tmp_path, run("wmt", method, 1))
    write_shared(tmp_path, "wmt")
    path = tmp_path / "tiny/records/wmt/selection.json"
    path.write_text(path.read_text().replace('"selected": "grammar"', '"selected": "readability"'))
    render(tmp_path, "tiny")
    table = cells(tmp_path, "table3_wmt_win_rates")
    assert table["By readability score", "alarm", "holistic_only"]["published_mean"] == ""
    assert table["By holistic reward", "alarm", "holistic_only"]["published_mean"] == "51.7"
    assert "the paper selected grammar" in (tmp_path / "tiny/tables/table3_wmt_win_rates.md").read_text()


def test_nan_scores_are_left_out_and_counted(tmp_path):
    write_run(tmp_path, run("wmt", "alarm", 1))
    write_run(tmp_path, run("wmt", "holistic_only", 1))

    def lose_one(generations):
        first = replace(generations[0], scores={**generations[0].scores, "gold": math.nan})
        return [first, *generations[1:]]

    edit_generations(record_path(tmp_path, "tiny", "wmt", "alarm", 1), lose_one)
    render(tmp_path, "tiny")
    table = cells(tmp_path, "table3_wmt_win_rates")
    assert table["By gold quality", "alarm", "holistic_only"]["missing"] == "1 prompts with a NaN score"
    assert table["By holistic reward", "alarm", "holistic_only"]["missing"] == ""


def test_no_records_and_a_damaged_record_are_errors_that_write_nothing(tmp_path):
    with pytest.raises(RecordError, match="pytest benchmarks"):
        render(tmp_path, "tiny")
    path = write_run(tmp_path, run("wmt", "alarm", 1))
    path.write_text("{")
    with pytest.raises(RecordError, match=r"seed1\.json cannot be read"):
        render(tmp_path, "tiny")
    assert not (tmp_path / "tiny" / "README.md").exists()


def test_a_users_task_without_published_numbers_gets_its_tables(tmp_path):
    for seed in (1, 2):
        for method in PAPER_METHODS:
            write_run(tmp_path, run("poems", method, seed))
    names = {path.name for path in render(tmp_path, "tiny")}
    assert {"poems_win_rates.md", "poems_means.md", "curves_poems.png"} <= names
    assert "no numbers for this task" in (tmp_path / "tiny/tables/poems_win_rates.md").read_text()


def test_runs_are_aligned_on_common_seeds_and_prompts(tmp_path):
    write_run(tmp_path, run("wmt", "alarm", 1), prompts=50)
    write_run(tmp_path, run("wmt", "alarm", 2), prompts=50)
    write_run(tmp_path, run("wmt", "mine", 2), prompts=40)
    (runs,) = read_runs(tmp_path, "tiny")
    aligned = runs.aligned(["alarm", "mine"], "gold")
    assert aligned.seeds == (2,) and len(aligned.ids) == 40 and aligned.scores["mine"].shape == (1, 40)
    ids = {f"wmt-{p}" for p in range(40)}
    assert set(aligned.ids) == ids
    expected = {g.id: g.scores["gold"] for g in generations_of(runs.finished["mine"][2])}
    assert dict(zip(aligned.ids, aligned.scores["mine"][0], strict=True)) == expected
    assert outcomes(*aligned.scores.values()).shape == (1, 40)


def test_published_numbers_are_found_under_our_names():
    published = Published.read(PUBLISHED.parents[1])
    assert published.win_rate("long_form_qa", "holistic", "alarm", "aspect_only") == Number(57.27, 3.91)
    assert published.win_rate("long_form_qa", "judge", "alarm", "average") == Number(54.08, 2.18)
    assert published.win_rate("wmt", "aspect", "weighted_sum", "holistic_only") == Number(46.54, 3.58)
    assert published.win_rate("wmt", "aspect", "alarm", "alarm") is None
    assert published.win_rate("wmt", "aspect", "mine", "alarm") is None
    assert published.mean("long_form_qa", "aspect_only", "length") == Number(116.8)
    assert published.mean("wmt", "alarm", "aspect") == Number(pytest.approx(0.01203))
    assert published.mean("wmt", "alarm", "gold") is None
    assert published.ablation("wmt", "readability", "judge") == Number(50.59, 1.06)
    assert published.inconsistency("wmt", "grammar") == Number(17.2)
    assert published.greedy_win_rate("wmt", "grammar") == Number(58.5)
    assert published.greedy_win_rate("long_form_qa", "holistic") == Number(73.6)
    assert published.inconsistency("poems", "rhyme") is None


def test_published_averages_are_the_means_of_their_rows():
    """Both a check of the copied numbers and of the reading of "average"."""
    published = Published.read(PUBLISHED.parents[1])
    for task in PAPER_TASKS:
        for block in ("holistic", "aspect", "judge"):
            for row in PAPER_METHODS:
                rates = [published.win_rate(task, block, row, column).mean for column in PAPER_METHODS if column != row]
                average = published.win_rate(task, block, row, "average").mean
                assert np.mean(rates) == pytest.approx(average, abs=0.011), (task, block, row)


def test_without_published_numbers_every_lookup_is_none():
    published = Published(None)
    assert published.win_rate("wmt", "holistic", "alarm", "holistic_only") is None
    assert published.mean("wmt", "alarm", "holistic") is None
    assert published.inconsistency("wmt", "grammar") is None


def test_correction_counts_mirrored_pairs_once():
    def cell(p):
        return Cell(Spread(55, 1, 3), Estimate(55, 51, 59, p), published=Number(52))

    group = {("a", "b"): cell(0.02), ("b", "a"): cell(0.02), ("a", "c"): cell(0.03), ("c", "a"): cell(0.03)}
    (corrected,) = correct([group], mirrored=True)
    assert corrected["a", "b"].estimate.p == corrected["b", "a"].estimate.p == pytest.approx(0.04)
    assert corrected["a", "b"].verdict == "same direction"
    (unmirrored,) = correct([group])
    assert unmirrored["a", "b"].estimate.p == pytest.approx(max(holm([0.02] * 2 + [0.03] * 2)[:1]))
    assert unmirrored["a", "b"].verdict == "not distinguishable"


def test_cells_print_spread_count_interval_and_verdict():
    full = Cell(spread([50.0, 52.0]), Estimate(51, 48, 54, 0.01), published=Number(53, 1.5), verdict="opposite")
    assert full.markdown() == "**51.00 ± 1.41**, n=2<br>[48.00, 54.00]<br>paper 53.00 ± 1.50: opposite"
    effect = Cell(spread([0.1]), Estimate(-0.00001, -0.1, 0.1, 0.9), effect_name="against x", digits=2)
    assert effect.markdown() == "0.10, n=1<br>against x 0.00 [-0.10, 0.10]"
    assert Cell(missing="no run of alarm").markdown() == "missing: no run of alarm"
    assert Cell().markdown() == "–"


def test_a_curve_is_mean_and_sd_over_seeds_where_a_value_is_on_record():
    records = [run("wmt", "alarm", seed) for seed in (1, 3)]
    steps, mean, sd = curve(records, "dev_gold")
    assert steps.tolist() == [0, 5, 10, 15, 20]
    assert mean[0] == pytest.approx(0.52) and sd[0] == pytest.approx(np.std([0.51, 0.53], ddof=1))
    assert curve(records[:1], "dev_gold")[2].tolist() == [0.0] * 5
    assert len(curve(records, "nothing")[0]) == 0


def test_all_methods_on_record_are_rows(rendered):
    results, _ = rendered
    assert {row for _, row, _ in cells(results, "table1_long_form_qa_win_rates")} == set(EFFECTS)
