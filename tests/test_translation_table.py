"""The table of translation quality: sacreBLEU's corpus scores and its paired bootstrap, and COMET where scored."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from alarm.evaluation.statistics import bootstrap_mean
from alarm.evaluation.translation import corpus_scores, paired_bootstrap
from alarm.evaluation.win_rates import spread
from alarm.files import sha256_of
from alarm.records import (
    Generation,
    MetricRecord,
    PromptRow,
    prompts_path,
    sft_generations_path,
    write_generations,
    write_metric,
    write_prompts,
    write_record,
)
from alarm.report.render import render
from alarm.report.runs import read_runs
from alarm.report.translation_table import translation_table
from tests.comet_models import generated_rows
from tests.synthetic_runs import ENVIRONMENT, run

SFT = "SFT policy"


def damaged(references, share: float, seed: int) -> list[str]:
    """The references without a share of their words."""
    generator = np.random.default_rng(seed)
    return [" ".join(word for word in text.split() if generator.random() >= share) for text in references]


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return [row["ref"] for row in generated_rows(tmp_path_factory.mktemp("world") / "test", 60, seed=9)]


@pytest.fixture(scope="module")
def texts(references):
    """ALaRM translates better than the SFT policy, `holistic_only` just as it does."""
    sft = damaged(references, 0.2, 0)
    made = {("alarm", seed): damaged(references, 0.1, seed) for seed in (1, 2, 3)}
    return {("sft", 0): sft, ("holistic_only", 1): sft, ("holistic_only", 2): damaged(references, 0.2, 9), **made}


def write(results, references, texts):
    def generations(key):
        return [Generation(f"wmt-{i}", text, 5, {"gold": 0.5, "holistic": 0.1}) for i, text in enumerate(texts[key])]

    def corpus(key):
        return {name: asdict(score) for name, score in corpus_scores(texts[key], references).items()}

    for name, seed in texts:
        if name != "sft":
            metrics = {"test": {}, "sft": {}, "corpus": corpus((name, seed)), "sft_corpus": corpus(("sft", 0))}
            write_record(results, run("wmt", name, seed, metrics=metrics), generations((name, seed)))
    write_generations(sft_generations_path(results, "tiny", "wmt"), generations(("sft", 0)))
    prompts = [PromptRow(f"wmt-{i}", f"Satz {i}", text, {"source": f"Satz {i}"}) for i, text in enumerate(references)]
    write_prompts(results, "tiny", "wmt", prompts)


def write_comet(results, scores):
    (runs,) = read_runs(results, "tiny")
    made = {name: {str(s): r.generations["sha256"] for s, r in seeds.items()} for name, seeds in runs.finished.items()}
    made["sft"] = {"0": sha256_of(sft_generations_path(results, "tiny", "wmt"))}
    facts = {"version": "unbabel-comet 2.2.7 RegressionMetric abc", "responses": made}
    common = {"finished": "2026-01-02T00:00:00+00:00", "environment": ENVIRONMENT}
    write_metric(results, MetricRecord("wmt", "tiny", "comet", "COMET", True, facts, scores, **common))


def table_of(results):
    (runs,) = read_runs(results, "tiny")
    return translation_table(runs)


@pytest.fixture
def results(tmp_path, references, texts):
    write(tmp_path, references, texts)
    return tmp_path


def test_cells_are_the_recorded_scores_and_sacrebleus_p_values_per_seed(results, references, texts):
    table = table_of(results)
    (block,) = table.blocks
    assert list(block.columns) == ["bleu", "chrf", "ter"] and block.rows[:2] == [SFT, "holistic_only"]
    systems = {f"{name} {seed}": text for (name, seed), text in texts.items()}
    compared = paired_bootstrap(systems, references, "sft 0")
    for metric in block.columns:
        assert block.cells[SFT, metric].measured.mean == compared["sft 0"][metric].score.value
        for name, seeds in (("alarm", (1, 2, 3)), ("holistic_only", (1, 2))):
            found = [compared[f"{name} {seed}"][metric] for seed in seeds]
            cell = block.cells[name, metric]
            assert cell.measured == spread([score.score.value for score in found])
            below = sum(score.p < 0.025 for score in found)
            values = ", ".join(f"{score.p:.3f}" for score in found)
            assert cell.note == f"p < 0.025 in {below} of {len(seeds)} ({values})"
    assert block.cells["alarm", "bleu"].note.startswith("p < 0.025 in 3 of 3")
    assert block.cells["holistic_only", "bleu"].note.startswith("p < 0.025 in 0 of 2 (1.000, ")
    assert block.cells["holistic_only", "bleu"].missing == "seed 3"
    assert block.cells["aspect_only", "bleu"].missing == "no run of aspect_only"


def test_the_caption_says_how_scores_and_tests_were_made(results):
    caption = "\n".join(table_of(results).caption)
    for part in ("BLEU: `nrefs:1|", "chrF2: `nrefs:1|", "TER, lower is better: `", "one test per seed", "Scale `tiny`"):
        assert part in caption
    assert "COMET (`python -m alarm comet" in " ".join(table_of(results).missing)


def test_runs_on_other_sentences_are_compared_on_those_they_share_with_the_sft_policy(results, references, texts):
    half = [Generation(f"wmt-{i}", texts["alarm", 1][i], 5, {"gold": 0.5}) for i in range(30)]
    corpus = {name: asdict(s) for name, s in corpus_scores(texts["alarm", 1][:30], references[:30]).items()}
    write_record(results, run("wmt", "alarm", 1, metrics={"corpus": corpus, "test": {}, "sft": {}}), half)
    systems = {"sft": texts["sft", 0][:30], "alarm": texts["alarm", 1][:30]}
    p = paired_bootstrap(systems, references[:30], "sft")["alarm"]["ter"].p
    assert f"({p:.3f}, " in table_of(results).blocks[0].cells["alarm", "ter"].note


def test_without_references_on_record_the_scores_stand_alone(results):
    prompts_path(results, "tiny", "wmt").unlink()
    table = table_of(results)
    assert table.blocks[0].cells["alarm", "bleu"].measured.count == 3
    assert all(cell.note is None for cell in table.blocks[0].cells.values())
    assert any("paired bootstrap (responses of the SFT policy, or references, are not" in gap for gap in table.missing)


def test_comet_is_shown_with_its_difference_from_the_sft_policy(results):
    generator = np.random.default_rng(0)
    before = generator.normal(0.5, 0.1, 60)
    gains = {("alarm", 1): 0.2, ("alarm", 2): 0.25, ("alarm", 3): 0.15, ("holistic_only", 1): 0.0}
    values = {key: before + gain + generator.normal(0, 0.05, 60) for key, gain in gains.items()}
    scores = {"sft": {"0": {f"wmt-{i}": float(v) for i, v in enumerate(before)}}}
    for (name, seed), row in values.items():
        scores.setdefault(name, {})[str(seed)] = {f"wmt-{i}": float(v) for i, v in enumerate(row)}
    write_comet(results, scores)
    table = table_of(results)
    cells = table.blocks[0].cells
    assert cells[SFT, "comet"].measured.mean == pytest.approx(before.mean())
    assert cells["alarm", "comet"].measured.mean == pytest.approx(
        np.mean([values["alarm", s].mean() for s in (1, 2, 3)])
    )
    differences = np.array([values["alarm", seed] - before for seed in (1, 2, 3)])
    assert cells["alarm", "comet"].estimate.value == pytest.approx(bootstrap_mean(differences, seed=0).value)
    assert cells["alarm", "comet"].estimate.p < 0.05 and cells["alarm", "comet"].effect_name == f"against {SFT}"
    assert cells["aspect_only", "comet"].missing == "no run of aspect_only"
    assert "COMET: mean over sentences, by unbabel-comet 2.2.7 RegressionMetric abc." in table.caption
    assert not any("COMET" in gap for gap in table.missing)


def test_only_translations_have_the_table_and_the_page_shows_it(results, references):
    write_record(results, run("long_form_qa", "alarm", 1), [Generation("a", "text", 3, {"gold": 0.5, "holistic": 1.0})])
    qa, wmt = read_runs(results, "tiny")
    assert translation_table(qa) is None and translation_table(wmt) is not None
    render(results, "tiny")
    tables = results / "tiny" / "tables"
    assert "p < 0.025 in 3 of 3" in (tables / "translation_wmt.md").read_text()
    assert not (tables / "translation_long_form_qa.md").exists()
    assert "Translation quality in wmt" in (results / "tiny" / "README.md").read_text()
