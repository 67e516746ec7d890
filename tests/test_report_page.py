"""The page of a scale: everything of the tables in it, nothing fetched, nothing a model wrote taken for markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from alarm.evaluation.statistics import Estimate
from alarm.evaluation.win_rates import spread
from alarm.records import MetricRecord
from alarm.report.page import generations as generations_module
from alarm.report.page.cells import block_views, cell_view, reach_of
from alarm.report.page.generations import browser_data, script_json
from alarm.report.page.page import report_page
from alarm.report.page.sections import fill
from alarm.report.page.text import breakable, inline
from alarm.report.page.vector import THEMED, themed_svg
from alarm.report.published import Number
from alarm.report.render import assemble
from alarm.report.runs import read_runs
from alarm.report.tables import Block, Cell, Table, number_text
from tests.browsable_runs import ALARM, ASTRAL, HOSTILE, PROMPTS, QUESTION, SAME, write_browsable
from tests.synthetic_runs import ENVIRONMENT, run, write_everything, write_run


class Page(HTMLParser):
    """Elements with their attributes, and the text of scripts, styles and everything else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in self.texts:
            self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        self.texts[self._inside].append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    write_everything(results, tasks=("wmt",))
    return assemble(results, "tiny")


@pytest.fixture(scope="module")
def images(report):
    return [picture.image(vector=True) for picture in report.pictures]


@pytest.fixture(scope="module")
def page(report, images):
    return Page(report_page(report, images))


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    results = tmp_path_factory.mktemp("browsable")
    write_browsable(results)
    return read_runs(results, "tiny")


def test_every_table_and_figure_stands_in_the_page_once(report, images, page):
    places = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(places)) == len(places), "every id is there once, those inside figures included"
    expected = {table.name for table in report.tables} | {f"figure-{image.name}" for image in images}
    assert expected <= set(places)
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    linked = {link.removeprefix("#") for link in links if link.startswith("#")}
    assert {"headline", "win-rates", "training", "fronts", "denoising", "metarm", "generations"} <= linked
    assert linked <= set(places)


def test_every_number_of_the_tables_is_in_the_page(report, page):
    shown = " ".join(page.texts[""])
    for table in report.tables:
        assert table.title in shown and table.caption[-1].split("`")[0] in shown
        for block in table.blocks:
            for cell in block.cells.values():
                numbers = [cell.measured.mean] if cell.measured else []
                numbers += [cell.estimate.low, cell.estimate.high] if cell.estimate else []
                numbers += [cell.published.mean] if cell.published else []
                for value in numbers:
                    assert number_text(value, cell.digits).replace("-", "−") in shown, table.name


def test_nothing_is_fetched_and_no_other_script_runs(page):
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "image") or attributes.get("href") == "data:,"
        assert "src" not in attributes and not any(name.startswith("on") for name in attributes)
        for name in ("href", "xlink:href"):
            assert tag == "a" or attributes.get(name, "#").startswith(("#", "data:,"))
    style = "".join(page.texts["style"])
    assert "@import" not in style and "url(" not in style
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    script = page.texts["script"][-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = ["style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'", "img-src data:"]
    refused = [f"{what} 'none'" for what in ("default-src", "base-uri", "form-action")]
    assert sorted(policy.split("; ")) == sorted([*allowed, *refused])


def test_tables_say_what_their_headers_head(page):
    heads = [attributes for tag, attributes in page.elements if tag == "th"]
    assert heads and all(attributes.get("scope") in ("col", "row") for attributes in heads)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("caption") == tags.count("table") > 10


def test_what_is_wrong_or_missing_is_said(tmp_path):
    write_run(tmp_path, run("poems", "alarm", 1))
    write_run(tmp_path, run("poems", "alarm", 2, error="iteration 3: <reward> is not finite", data_fingerprint="other"))
    report = assemble(tmp_path, "tiny")
    shown = " ".join(Page(report_page(report, [])).texts[""])
    assert "poems alarm seed 2: iteration 3: <reward> is not finite" in shown
    assert "2 different data" in shown and "a study of reward-model recipes" in shown
    assert "missing: no run of holistic_only" in " ".join(shown.split())


# Sections.


def named(*names: str) -> list[Table]:
    return [Table(name, name, [], []) for name in names]


def test_each_name_stands_in_one_section_and_an_unknown_one_in_the_last():
    tables = named("table3_wmt_win_rates", "poems_win_rates", "table5_selection_ablation", "judge_wmt", "news_wmt")
    sections = {s.anchor: [table.name for table in s.shown_tables] for s in fill(tables, named("curves_wmt"))}
    assert sections == {
        "win-rates": ["table3_wmt_win_rates", "poems_win_rates", "judge_wmt"],
        "training": [],
        "selection": ["table5_selection_ablation"],
        "more": ["news_wmt"],
    }


def test_win_rates_are_coloured_and_counts_are_not(report):
    won = Block("By a judge", "method", ["alarm"], ["sft"], {("alarm", "sft"): Cell(spread([60.0]))})
    counted = Block("All verdicts", "judge", ["one"], ["win"], {("one", "win"): Cell(spread([60.0]))})
    plain = replace(report, tables=[Table("judge_wmt", "Verdicts", [], [won, counted])], pictures=[])
    elements = Page(report_page(plain, [])).elements
    assert [attributes.get("class") for tag, attributes in elements if tag == "table"] == ["heat", None]
    coloured = [attributes for tag, attributes in elements if tag == "td" and "style" in attributes]
    assert coloured == [{"class": "win", "style": "--heat: 33"}]


# Text and cells.


def test_text_is_escaped_before_it_is_marked_up():
    assert str(inline("<b> `a&b` **so** arXiv:2402.00742")) == (
        "&lt;b&gt; <code>a&amp;b</code> <strong>so</strong> "
        '<a href="https://arxiv.org/abs/2402.00742">arXiv:2402.00742</a>'
    )
    assert str(breakable("a_<b>")) == "a_<wbr>&lt;b&gt;"


def test_a_cell_shows_its_number_its_significance_and_the_published_one():
    cell = Cell(spread([70.0, 72.0]), Estimate(71, 60, 80, 0.0004), published=Number(57.8, 4.29), verdict="opposite")
    view = cell_view(cell, heat=True)
    assert (view.mean, view.sd, view.count, view.interval) == ("71.00", "1.41", "n=2", "[60.00, 80.00]")
    assert view.significant and view.p == "p < 0.001"
    assert (view.published, view.verdict, view.style) == ("57.80 ± 4.29", "opposite", "opposite")
    effect = cell_view(Cell(spread([0.5]), Estimate(-0.04, -0.1, 0.02, 0.2), effect_name="against x", digits=2))
    assert (effect.effect, effect.interval, effect.significant) == ("−0.04", "[−0.10, 0.02]", False)
    assert cell_view(None).empty and cell_view(Cell()).empty and not cell_view(Cell(missing="a run")).empty


@pytest.mark.parametrize(("rate", "heat"), [(50.0, 0), (65.0, 50), (35.0, -50), (95.0, 100), (5.0, -100)])
def test_heat_grows_with_the_distance_from_even(rate, heat):
    assert cell_view(Cell(spread([rate])), heat=True).heat == heat
    assert cell_view(Cell(spread([rate]))).heat is None


def test_bars_of_a_column_share_a_scale_around_zero():
    cells = {
        ("a", "gain"): Cell(spread([0.1]), Estimate(0.1, 0.0, 0.2, 0.5)),
        ("b", "gain"): Cell(spread([-0.3]), Estimate(-0.3, -0.4, -0.2, 0.01)),
    }
    block = Block("", "method", ["a", "b"], ["gain"], cells)
    views = block_views(block, bars={"gain": reach_of(block, "gain")})
    wide, left = views["a"]["gain"].bar, views["b"]["gain"].bar
    assert (wide.left, wide.width, wide.at) == (50.0, 25.0, 62.5)
    assert (left.left, left.width, left.at) == (0.0, 25.0, 12.5)


# Figures.


def test_a_figure_takes_its_colours_and_font_from_the_page(images):
    for image in images:
        text = themed_svg(image.svg, name=image.name, title=image.title)
        assert not set(THEMED) & set(re.findall(r"#[0-9a-f]{6}\b", text)) and "currentColor" in text
        assert "font-family" not in text and "<style" not in text and "metadata" not in text
        root = ElementTree.fromstring(text)
        assert not [value for e in root.iter() for value in e.attrib.values() if re.search(r"\d\.\d{3,}", value)]
        assert root.get("aria-label") == image.title and "width" not in root.attrib
        ids = {element.get("id") for element in root.iter()} - {None}
        used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
        assert {a or b for a, b in used} == ids and all(name.startswith(f"{image.name}-") for name in ids)


def test_a_figure_in_the_page_has_its_origin_as_text(report, images, page):
    shown = "".join(page.texts[""])
    for picture, image in zip(report.pictures, images, strict=True):
        assert image.notes[-1] == picture.origin[-1]
        assert image.notes[0].split("`")[0] in shown
        assert image.notes[-1][:40] not in image.svg, "the PNG alone carries it inside"


# Generations.


def test_equal_answers_are_kept_once_and_runs_point_to_them(groups):
    data = browser_data(groups)
    assert list(data) == ["long_form_qa", "wmt"]
    task = data["wmt"]
    assert task["seeds"] == [1, 2] and task["methods"] == ["sft", "holistic_only", "alarm"]
    assert [score["name"] for score in task["scores"]][:2] == ["gold", "holistic"]
    assert "holistic_raw" not in {score["name"] for score in task["scores"]}
    first, second = task["prompts"][0], task["prompts"][2]
    assert [answer[0] for answer in first["answers"]] == [SAME[0], ALARM[0][0]]
    assert first["runs"] == {"sft": [0], "holistic_only": [0, 0], "alarm": [1, 0]}
    assert len(second["answers"]) == 1, "the grid's further cells stay out"
    assert first["answers"][1][1:3] == [4, [0.9, 1.0, 0.25, 0.25, 0.25, 0.25]]


def test_prompts_references_questions_and_spans_are_there(groups):
    data = browser_data(groups)
    assert {"prompt", "reference", "question"} <= set(data["long_form_qa"]["prompts"][0])
    assert data["long_form_qa"]["prompts"][0]["question"] == QUESTION
    assert data["wmt"]["aspects"] == [{"name": "grammar", "label": "grammar error rate", "strong": 1.0}]
    answer = next(a for a in data["wmt"]["prompts"][4]["answers"] if a[0] == ASTRAL)
    assert answer[3] == [[[2, 8, -1.0]]]


def test_without_prompts_spans_or_a_run_the_rest_is_shown(groups):
    (_, wmt) = groups
    bare = replace(wmt, prompts=None, sft=None, records=[r for r in wmt.records if (r.method, r.seed) != ("alarm", 2)])
    task = browser_data([bare])["wmt"]
    assert set(task["prompts"][0]) == {"id", "answers", "runs"}
    assert task["prompts"][0]["runs"]["alarm"] == [0, None] or task["prompts"][0]["runs"]["alarm"] == [1, None]
    assert browser_data([replace(bare, records=[])]) == {}


def test_scores_of_later_metrics_stand_beside_the_others(groups):
    (_, wmt) = groups
    scores = {"alarm": {"1": {"test-00": 0.8123456}}, "sft": {"0": {"test-00": 0.7}}}
    metric = MetricRecord("wmt", "tiny", "comet", "COMET", True, {}, scores, "2026-01-01", ENVIRONMENT)
    task = browser_data([replace(wmt, metrics=[metric])])["wmt"]
    place = [score["name"] for score in task["scores"]].index("comet")
    prompt = task["prompts"][0]
    assert task["scores"][place]["label"] == "COMET"
    assert prompt["answers"][prompt["runs"]["alarm"][0]][2][place] == 0.8123
    assert prompt["answers"][prompt["runs"]["holistic_only"][0]][2][place] is None


def test_a_task_with_very_many_prompts_is_thinned_evenly(groups, monkeypatch):
    monkeypatch.setattr(generations_module, "MOST_PROMPTS", 5)
    task = browser_data(groups)["wmt"]
    assert task["total"] == PROMPTS and len(task["prompts"]) == 5
    assert [task["prompts"][i]["id"] for i in (0, -1)] == ["test-00", "test-13"]


def test_runs_on_both_kinds_of_hardware_are_two_choices(groups):
    (_, wmt) = groups
    assert list(browser_data([wmt, replace(wmt, hardware_kind="gpu")])) == ["wmt (CPU)", "wmt (GPU)"]


def test_data_in_a_script_element_cannot_end_it(groups):
    data = browser_data(groups)
    text = str(script_json(data))
    assert not set("<>&\u2028\u2029") & set(text) and json.loads(text) == data
    assert HOSTILE in {answer[0] for answer in data["wmt"]["prompts"][3]["answers"]}
