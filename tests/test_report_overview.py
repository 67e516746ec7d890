"""The headline of a task, the README of all results, and the command that writes them with the page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from alarm.__main__ import main
from alarm.report.gold_table import gold_table
from alarm.report.overview import overview
from alarm.report.published import Published
from alarm.report.render import assemble, render
from alarm.report.win_tables import AVERAGE, win_rate_table
from tests.browsable_runs import write_browsable
from tests.synthetic_runs import run, write_experiment, write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Two scales on record, both reported by the command, the larger one first."""
    folder = tmp_path_factory.mktemp("results")
    write_browsable(folder)
    write_browsable(folder, "small", seeds=(1,))
    for scale in ("small", "tiny"):
        assert main(["report", "--results", str(folder), "--scale", scale]) == 0
    return folder


@pytest.fixture
def copied(results, tmp_path) -> Path:
    return shutil.copytree(results, tmp_path / "results")


def links(text: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def test_the_command_names_what_it_wrote(copied, capsys):
    assert main(["report", "--results", str(copied)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.is_file() for path in printed)
    assert printed[-3:] == [copied / "tiny" / "README.md", copied / "tiny" / "report.html", copied / "README.md"]
    assert len({path.suffix for path in printed} & {".md", ".csv", ".png", ".html"}) == 4


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--scale", "tinny"], "unknown scale 'tinny'. Did you mean 'tiny'?"),
        (["--results", "no_such_results"], "there are no records in no_such_results/tiny/records; run"),
    ],
)
def test_a_wrong_place_is_one_sentence(capsys, arguments, problem):
    assert main(["report", *arguments]) == 2
    assert problem in capsys.readouterr().err and not Path("no_such_results").exists()


def test_nothing_is_written_beside_a_damaged_record(copied, capsys):
    damaged = next((copied / "tiny" / "records" / "wmt" / "alarm").glob("seed1.json"))
    damaged.write_text("{")
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    assert main(["report", "--results", str(copied)]) == 2
    assert f"{damaged} cannot be read" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_the_same_records_give_the_same_page(copied):
    before = (copied / "tiny" / "report.html").read_bytes()
    assert main(["report", "--results", str(copied)]) == 0
    assert (copied / "tiny" / "report.html").read_bytes() == before


def test_the_overview_shows_every_scale_in_its_order_and_links_only_what_exists(results):
    text = (results / "README.md").read_text()
    assert text.index("## Scale `tiny`") < text.index("## Scale `small`") and "do not edit" in text
    targets = [link for link in links(text) if not link.startswith("#")]
    assert all((results / link).exists() for link in targets)
    for scale in ("tiny", "small"):
        assert {f"{scale}/README.md", f"{scale}/report.html", f"{scale}/records"} <= set(targets)
        figures = {f"{scale}/figures/{path.name}" for path in (results / scale / "figures").glob("*.png")}
        assert figures and figures <= set(targets)
        for task in ("long_form_qa", "wmt"):
            table = (results / scale / "tables" / f"headline_{task}.md").read_text()
            body, notes = table.split("\n\n- ", 1)
            assert body.removeprefix("# ") in text and notes.strip() in text


def test_headings_of_tables_stand_below_their_scales(results):
    headings = re.findall(r"^(#+) (.*)$", (results / "README.md").read_text(), flags=re.MULTILINE)
    scale = [("##", "Scale `tiny`"), ("###", "At a glance: long_form_qa"), ("###", "At a glance: wmt")]
    assert headings[:4] == [("#", "Results"), *scale]


def test_a_scale_that_was_never_rendered_is_named(tmp_path):
    write_run(tmp_path, run("wmt", "alarm", 1, scale="small"))
    write_run(tmp_path, run("wmt", "alarm", 1))
    (tmp_path / "published").mkdir()
    render(tmp_path, "tiny")
    text = overview(tmp_path)
    assert "Not rendered yet: run `python -m alarm report --scale small`" in text and "`published`" not in text
    assert "tiny/report.html" not in text and "tiny/README.md" in text, "tables alone leave no page"


def test_the_headline_repeats_cells_of_two_tables(tmp_path):
    write_experiment(tmp_path)
    report = assemble(tmp_path, "tiny")
    headline = next(table for table in report.tables if table.name == "headline_wmt")
    runs = next(runs for runs in report.groups if runs.task == "wmt")
    wins, gold = win_rate_table(runs, Published.read(tmp_path)), gold_table(runs)
    (block,) = headline.blocks
    assert block.rows == runs.methods and block.columns[0] == "gain"
    assert block.cells["alarm", "gain"] == gold.blocks[0].cells["alarm", "gain"]
    for theirs in wins.blocks:
        assert block.cells["alarm", theirs.title] == theirs.cells["alarm", AVERAGE]
        assert theirs.title[1:] in block.column_labels[theirs.title]
    assert report.tables[0].name.startswith("headline_"), "it is read first"
