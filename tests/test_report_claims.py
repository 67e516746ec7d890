"""The papers' claims: verdicts from records of known effects, replication over sets of seeds, and what is missing."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alarm.evaluation.statistics import holm
from alarm.records import read_record, record_path, write_record, write_reward_models
from alarm.report.claims.claims_table import agreement_sentence, claims_table, measured_table
from alarm.report.claims.definitions import CLAIMS, Claim
from alarm.report.claims.evidence import Effect, Evidence, NotOnRecord, evidence_of
from alarm.report.claims.judging import (
    HOLDS,
    OPPOSITE,
    UNDECIDED,
    TaskFindings,
    agreement,
    judge,
    seed_sets,
    seeds_text,
)
from alarm.report.render import render_report
from alarm.report.runs import read_runs
from alarm.report.studies import read_studies
from tests.claim_runs import PROXY, SAMPLED_GOLD, write_claims
from tests.synthetic_runs import run, study_record, write_run

UNEVEN = "alarm_as_released"
"""Its gold falls behind ALaRM's in the first set of seeds only."""


def gold_of(name: str, seed: int) -> float:
    golds = {**SAMPLED_GOLD, "weighted_sum": 0.65, "alarm+relevance": 0.58, "alarm+completeness": 0.55}
    return 0.6 if name == UNEVEN and seed > 3 else golds[name]


def evidence(results: Path, task: str = "long_form_qa") -> Evidence:
    runs = next(runs for runs in read_runs(results, "tiny") if runs.task == task)
    return evidence_of(runs, read_studies(results, "tiny"))


def by_id(found: TaskFindings) -> dict:
    return {finding.claim.id: finding for finding in found.findings}


def missing_of(results: Path, claim: str) -> str:
    return by_id(judge(evidence(results)))[claim].missing


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    methods = [*SAMPLED_GOLD, "alarm+relevance", "alarm+completeness"]
    write_claims(folder, tasks=("long_form_qa",), gold=gold_of, methods=methods)
    return folder


@pytest.fixture(scope="module")
def found(results) -> TaskFindings:
    return judge(evidence(results))


# Effects and verdicts.


@pytest.mark.parametrize(
    ("claim", "points", "verdict"),
    [
        ("alarm_holistic", 10, HOLDS),
        ("alarm_sum", -5, OPPOSITE),
        ("selection", 2, HOLDS),
        ("over_optimisation", 20, HOLDS),
        ("oracle", 25, HOLDS),
    ],
)
def test_an_effect_in_both_sets_of_seeds_is_found_in_points(found, claim, points, verdict):
    finding = by_id(found)[claim]
    assert found.sets == ((1, 2, 3), (4, 5, 6)) and finding.verdict == verdict
    for outcome in (*finding.sets, finding.everything):
        estimate = outcome.effect.estimate
        assert estimate.value == pytest.approx(points) and estimate.low < points < estimate.high
    assert finding.everything.effect.seeds == 6 and found.in_words(finding) == verdict


def test_an_effect_in_one_set_only_is_not_distinguishable_and_says_where_it_was(found):
    finding = by_id(found)["placement"]
    assert [outcome.verdict for outcome in finding.sets] == [HOLDS, UNDECIDED]
    assert finding.sets[1].effect.estimate.value == pytest.approx(0, abs=1e-9)
    assert found.in_words(finding) == "not distinguishable: holds with seeds 1–3 only"


def test_the_gap_between_proxy_and_gold_is_in_sds_of_the_sft_samples(found, results):
    measured = evidence(results)
    sd = {score: np.std(list(measured.sampled.sft_scores(score).values())) for score in ("gold", "holistic")}
    proxy = (1.0 - PROXY["log_sigmoid"]) / sd["holistic"]
    gold = (SAMPLED_GOLD["holistic_only"] - SAMPLED_GOLD["log_sigmoid"]) / sd["gold"]
    assert by_id(found)["gap"].everything.effect.estimate.value == pytest.approx(100 * (proxy - gold))


def test_over_optimisation_decides_nothing_while_the_proxy_does_not_rise(tmp_path, monkeypatch):
    monkeypatch.setitem(PROXY, "holistic_low_kl", 1.0)
    write_claims(tmp_path, tasks=("wmt",), methods=("holistic_only", "holistic_low_kl"), seeds=(1, 2, 3))
    runs = judge(evidence(tmp_path, "wmt"))
    finding = by_id(runs)["over_optimisation"]
    assert finding.sets[0].effect.estimate.p < 0.05 and finding.verdict == UNDECIDED
    table = claims_table([runs], read_runs(tmp_path, "tiny"))
    assert "the proxy of holistic_low_kl is not higher" in table.markdown()


def test_picking_the_best_other_aspect_is_paid_for(tmp_path):
    golds = {"alarm": 0.5, "alarm+relevance": 0.52, "alarm+completeness": 0.52, "alarm+length": 0.52}
    write_claims(tmp_path, tasks=("long_form_qa",), gold=golds, methods=golds, seeds=(1, 2, 3), noise=0.2)
    measured = evidence(tmp_path)
    selection, single = (next(c for c in CLAIMS if c.id == name) for name in ("selection", "alarm_holistic"))
    effect = selection.effect(measured)
    best = effect.note.split("best other: ")[1].split(" of 3")[0]
    alone = single.effect.func(measured, "alarm", f"alarm+{best}")
    assert effect.estimate.p == pytest.approx(min(1, 3 * alone.estimate.p)) and alone.estimate.p < 1


def test_a_study_is_judged_once(found):
    for claim in ("premise", "strength", "contrastive"):
        finding = by_id(found)[claim]
        assert not finding.replicated and finding.verdict == HOLDS
        assert found.in_words(finding) == "holds; no seeds of PPO in it"
    assert by_id(found)["contrastive"].everything.effect.estimate.value == pytest.approx(1, abs=0.1)


# Families and sets of seeds.


def constant(identity: str, p: float, value: float = 1.0, **changes) -> Claim:
    from alarm.evaluation.statistics import Estimate

    effect = Effect(Estimate(value, value - 1, value + 1, p), 3)
    return Claim(identity, identity, "paper", "made up", lambda evidence: effect, **changes)


def test_a_set_is_corrected_over_all_its_claims(results):
    def absent(evidence):
        raise NotOnRecord("nothing")

    p_values = [0.01, 0.02, 0.04, 0.5]
    claims = [constant(f"claim {p}", p) for p in p_values] + [Claim("gone", "gone", "paper", "made up", absent)]
    found = judge(evidence(results), claims)
    for place in range(2):
        corrected = [finding.sets[place].effect.estimate.p for finding in found.findings[:-1]]
        assert corrected == pytest.approx(holm(p_values))
    assert [finding.verdict for finding in found.findings] == [HOLDS, UNDECIDED, UNDECIDED, UNDECIDED, ""]


@pytest.mark.parametrize(
    ("seeds", "sets"),
    [
        ([1, 2, 3, 4, 5, 6], [(1, 2, 3), (4, 5, 6)]),
        ([6, 1, 2, 3], [(1, 2, 3)]),
        ([1, 2], [(1, 2)]),
        ([1, 2, 4], [(1, 2, 4)]),
    ],
)
def test_sets_are_three_consecutive_seeds_or_all_there_are(seeds, sets):
    assert seed_sets(seeds) == sets


def test_seeds_in_words():
    assert [seeds_text(s) for s in ((1, 2, 3), (1, 2, 4), (7,))] == ["seeds 1–3", "seeds 1, 2, 4", "seed 7"]


def test_a_set_is_judged_as_if_no_other_seed_had_been_run(tmp_path, results):
    three = evidence(results).of_seeds((4, 5, 6))
    methods = [*SAMPLED_GOLD, "alarm+relevance", "alarm+completeness"]
    write_claims(tmp_path, tasks=("long_form_qa",), gold=gold_of, methods=methods, seeds=(4, 5, 6))
    alone = evidence(tmp_path)
    for claim in CLAIMS:
        outcomes = []
        for measured in (three, alone):
            try:
                outcomes.append(claim.effect(measured).estimate)
            except NotOnRecord as reason:
                outcomes.append(str(reason))
        assert outcomes[0] == outcomes[1], claim.id


def test_sets_of_seeds_agree_where_all_say_the_same(found):
    alike, decided = agreement([found, found])
    uneven = [f for f in found.findings if f.replicated and len({o.verdict for o in f.sets}) > 1]
    assert "placement" in {finding.claim.id for finding in uneven}
    assert decided - alike == 2 * len(uneven) and alike > 0
    assert f"Of {decided} claims that any set of seeds decides, {alike} come out alike" in agreement_sentence(
        [found] * 2
    )


# What is missing.


def test_one_set_of_seeds_says_so(tmp_path):
    write_claims(tmp_path, tasks=("wmt",), methods=("alarm", "holistic_only"), seeds=(1, 2, 3), pool=False, study=False)
    found = judge(evidence(tmp_path, "wmt"))
    assert found.in_words(by_id(found)["alarm_holistic"]) == "one set of seeds: holds"
    assert agreement([found]) == (0, 0)
    header = claims_table([found], read_runs(tmp_path, "tiny")).blocks[0].columns
    assert header == ["wmt seeds 1–3", "wmt verdict"], "all seeds are that set"


def test_a_set_that_lacks_a_method_leaves_the_claim_unreplicated(tmp_path):
    write_claims(tmp_path, tasks=("wmt",), methods=("holistic_only",), pool=False, study=False)
    write_claims(tmp_path, tasks=("wmt",), methods=("alarm",), seeds=(1, 2, 3), pool=False, study=False)
    found = judge(evidence(tmp_path, "wmt"))
    finding = by_id(found)["alarm_holistic"]
    assert [outcome.verdict for outcome in finding.sets] == [HOLDS, ""] and finding.verdict == UNDECIDED
    assert found.in_words(finding) == "one set of seeds: holds" and not finding.replicated
    assert finding.sets[1].missing == "no run of alarm: add `--method alarm`"


def test_what_is_missing_is_named_with_what_adds_it(tmp_path):
    write_claims(tmp_path, tasks=("long_form_qa",), methods=("alarm",), pool=False, study=False)
    found = by_id(judge(evidence(tmp_path)))
    assert all(not finding.verdict and finding.missing for finding in found.values())
    assert found["oracle"].missing == "no run of oracle: add `--method oracle`"
    assert found["selection"].missing == "no run of ALaRM with another aspect: add `--full`"
    assert found["strength"].missing == "no study of reward-model recipes: add `--full`"
    assert "run the setup again" in found["premise"].missing
    assert claims_table([judge(evidence(tmp_path))], read_runs(tmp_path, "tiny")) is None


def test_runs_without_samples_are_named(tmp_path):
    for method in ("alarm", "holistic_only"):
        write_run(tmp_path, run("long_form_qa", method, 1))
    expected = "no sampled test responses of alarm and holistic_only: run them again"
    assert missing_of(tmp_path, "alarm_holistic") == expected


def test_failed_runs_are_named(tmp_path):
    write_claims(tmp_path, tasks=("wmt",), methods=("alarm", "holistic_only", "oracle"), seeds=(1, 2, 3))
    for method, seeds in {"alarm": (2,), "oracle": (1, 2, 3)}.items():
        for seed in seeds:
            record = read_record(record_path(tmp_path, "tiny", "wmt", method, seed))
            write_record(tmp_path, replace(record, error="reward is not finite"))
    found = judge(evidence(tmp_path, "wmt"))
    table = claims_table([found], read_runs(tmp_path, "tiny"))
    assert "wmt alarm seed 2 (failed: reward is not finite)" in table.missing
    assert by_id(found)["oracle"].missing == "no run of oracle: every run failed"
    (cell,) = [
        c
        for b in table.blocks
        for k, c in b.cells.items()
        if k == ("ALaRM beats the holistic reward alone", "wmt seeds 1–3")
    ]
    assert cell.show_count and cell.measured.count == 2


def test_denoising_is_judged_where_several_trainings_share_a_high_noise(tmp_path):
    write_claims(tmp_path, tasks=("long_form_qa",), methods=("alarm",), study=False)
    study = study_record("long_form_qa")
    write_reward_models(tmp_path, study)
    assert "a second training seed" in missing_of(tmp_path, "denoising") and "+4.0" in missing_of(tmp_path, "denoising")
    rows = [
        {
            **row,
            "seed": seed,
            "accuracy": {n: a + 0.001 * seed * len(row["recipe"]) for n, a in row["accuracy"].items()},
        }
        for row in study.sweep
        for seed in (1, 2, 3)
    ]
    write_reward_models(tmp_path, replace(study, sweep=rows))
    effect = by_id(judge(evidence(tmp_path)))["denoising"].everything.effect
    assert effect.seeds == 3 and effect.estimate.low < effect.estimate.value < effect.estimate.high
    names = ("flip", "margin", "flip_margin", "soft_label_margin")
    change = 100 * (0.001 * 2 * (np.mean([len(n) for n in names]) - len("plain"))) + 4.0
    assert effect.estimate.value == pytest.approx(change)
    write_reward_models(tmp_path, replace(study, sweep=[]))
    assert "trainings at 30 % wrong labels or more" in missing_of(tmp_path, "denoising")


# The table and the report.


def test_every_claim_has_a_row_and_the_csv_holds_every_number(found, results):
    table = claims_table([found], read_runs(results, "tiny"))
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    verdicts = {row["row"]: row for row in rows if row["column"] == "long_form_qa verdict"}
    assert list(verdicts) == [claim.statement for claim in CLAIMS]
    assert verdicts["ALaRM beats the weighted sum"]["verdict"] == OPPOSITE
    (cell,) = [
        r for r in rows if r["row"] == "ALaRM beats the weighted sum" and r["column"] == "long_form_qa all seeds"
    ]
    estimate = by_id(found)["alarm_sum"].everything.effect.estimate
    assert [float(cell[key]) for key in ("effect", "low", "high", "p_holm")] == pytest.approx(
        [estimate.value, estimate.low, estimate.high, estimate.p]
    )
    definitions = measured_table([found], read_runs(results, "tiny")).blocks[0].cells
    measured = {key[0]: cell.note for key, cell in definitions.items() if key[1] == "measured"}
    assert measured == {claim.statement: claim.definition for claim in CLAIMS}


def test_the_claims_are_the_first_thing_in_the_readme_the_page_and_the_overview(tmp_path):
    write_claims(tmp_path, tasks=("long_form_qa",), methods=("alarm", "holistic_only"), seeds=(1, 2), study=False)
    paths, results = render_report(tmp_path, "tiny"), tmp_path
    assert {"claims.png", "claims.md", "claims.csv", "premise_long_form_qa.png"} <= {path.name for path in paths}
    readme, page, overview = (
        (results / name).read_text() for name in ("tiny/README.md", "tiny/report.html", "README.md")
    )
    assert (
        readme.index("figures/claims.png") < readme.index("## What the papers claim") < readme.index("## At a glance")
    )
    assert readme.count("figures/claims.png") == 1
    assert overview.index("tiny/figures/claims.png") < overview.index("### What the papers claim")
    assert overview.index("### What the papers claim") < overview.index("### At a glance")
    assert page.index('id="claims"') < page.index('id="headline_long_form_qa"')


def test_the_table_says_how_many_claims_hold(found, results):
    table = claims_table([found], read_runs(results, "tiny"))
    counts = [sum(f.verdict == verdict for f in found.findings) for verdict in (HOLDS, OPPOSITE, UNDECIDED, "")]
    assert sum(counts) == len(CLAIMS)
    expected = "long_form_qa, seeds 1–3 and seeds 4–6: {} hold, {} come out the other way, {} are not distinguishable, "
    assert table.summary[0] == expected.format(*counts[:3]) + f"{counts[3]} are not on record."
    assert table.summary[1] == agreement_sentence([found]) and table.summary[1] in table.markdown()
