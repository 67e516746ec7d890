"""The published numbers of arXiv:2403.06754, under this project's names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAPER_METHODS = ("holistic_only", "aspect_only", "weighted_sum", "alarm")
"""The methods of the paper's tables, in its order."""
BLOCKS = ("holistic", "aspect", "judge")
"""What win rates are measured by: the holistic reward, the selected aspect, a judge."""


@dataclass(frozen=True)
class Number:
    """A published value, with its standard deviation over three seeds where one is printed."""

    mean: float
    sd: float | None = None


@dataclass(frozen=True)
class PaperTask:
    """Where the paper's numbers of one task stand, and what it measured."""

    aspect: str
    """The aspect the paper selected."""
    win_rates: str
    blocks: tuple[str, str, str]
    means: str
    aspect_column: str
    aspect_factor: float
    """Factor from the printed aspect value to ours."""
    ablation: str
    selection: str
    table_numbers: tuple[int, int]
    """Of the win rates and of the means."""
    figure_number: int
    setting: str
    judge: str = "gpt-3.5-turbo"
    judge_today: str = "which its maker has retired or is about to, so that these verdicts cannot be asked for again"


PAPER_TASKS = {
    "long_form_qa": PaperTask(
        aspect="factuality",
        win_rates="table1_long_form_qa_win_rates",
        blocks=("by_holistic_reward", "by_factuality_rate", "by_gpt_3_5_turbo"),
        means="table2_long_form_qa_means",
        aspect_column="factuality_rate",
        aspect_factor=1.0,
        ablation="long_form_qa",
        selection="figure3_long_form_qa_selection",
        table_numbers=(1, 2),
        figure_number=3,
        setting="T5-large on QA-Feedback, UltraRM-13B as holistic reward",
    ),
    "wmt": PaperTask(
        aspect="grammar",
        win_rates="table3_mt_win_rates",
        blocks=("by_holistic_reward", "by_grammar_error_rate_lower_wins", "by_gpt_3_5_turbo"),
        means="table4_mt_means",
        aspect_column="grammar_error_rate_percent",
        aspect_factor=0.01,
        ablation="mt",
        selection="figure4_mt_selection",
        table_numbers=(3, 4),
        figure_number=4,
        setting="mT5-base on Europarl Spanish to English, UltraRM-13B as holistic reward",
    ),
}


class Published:
    """Looks up one published number at a time; None where the paper has none or the file is absent."""

    def __init__(self, values: dict[str, Any] | None) -> None:
        self.available = values is not None
        self._tables = (values or {}).get("tables", {})
        self._figures = (values or {}).get("figures", {})

    @classmethod
    def read(cls, results: Path) -> Published:
        """From `<results>/published/alarm.json`, or from the checkout's own where `results` lies elsewhere."""
        return cls(published_values(results, "alarm.json"))

    def win_rate(self, task: str, block: str, row: str, column: str) -> Number | None:
        """Percent of decided prompts that `row` wins over `column`; `column` may be "average"."""
        paper = PAPER_TASKS.get(task)
        names = (*PAPER_METHODS, "average")
        if paper is None or row not in PAPER_METHODS or column not in names or not self.available:
            return None
        rows = self._tables[paper.win_rates][paper.blocks[BLOCKS.index(block)]]
        return _number(list(rows.values())[PAPER_METHODS.index(row)][names.index(column)])

    def mean(self, task: str, method: str, score: str) -> Number | None:
        """A method's mean `holistic` reward (z), `aspect` value or `length`, in our units."""
        paper = PAPER_TASKS.get(task)
        if paper is None or method not in PAPER_METHODS or not self.available:
            return None
        table = self._tables[paper.means]
        columns = {"holistic": "holistic_reward", "aspect": paper.aspect_column, "length": "length_tokens"}
        if score not in columns:
            return None
        rows = [values for name, values in table.items() if name != "columns"]
        value = rows[PAPER_METHODS.index(method)][table["columns"].index(columns[score])]
        return _number(value * (paper.aspect_factor if score == "aspect" else 1.0))

    def ablation(self, task: str, aspect: str, block: str) -> Number | None:
        """Average win rate of ALaRM with `aspect` over ALaRM with the others, by `holistic` or by `judge`."""
        paper = PAPER_TASKS.get(task)
        if paper is None or not self.available:
            return None
        row = self._tables["table5_selection_ablation"][paper.ablation].get(aspect)
        return _number(row[("holistic", "judge").index(block)]) if row else None

    def inconsistency(self, task: str, aspect: str) -> Number | None:
        """Percent of pairs on which the aspect contradicts the holistic reward (read off the figure, +-0.5)."""
        row = self._selection(task).get(aspect)
        return _number(row[0]) if row else None

    def greedy_win_rate(self, task: str, score: str) -> Number | None:
        """Percent of greedy over sampled responses by an aspect or by `holistic` (read off the figure, +-0.5)."""
        figure = self._selection(task)
        if score == "holistic":
            return _number(figure.get("holistic_win_rate"))
        row = figure.get(score)
        return _number(row[1]) if row else None

    def _selection(self, task: str) -> dict[str, Any]:
        paper = PAPER_TASKS.get(task)
        figure = self._figures[paper.selection] if paper and self.available else {}
        # The figure's name of an aspect may carry its direction.
        return {name.removesuffix("_error_rate_lower_wins"): value for name, value in figure.items()}


def published_values(results: Path, name: str) -> dict[str, Any] | None:
    """What `<results>/published/<name>` holds, or the checkout's own such file; None without either.

    Raises:
        ValueError: the file is not JSON.
    """
    checkout = Path(__file__).resolve().parents[2] / "results"
    for folder in (Path(results), checkout):
        path = folder / "published" / name
        if path.is_file():
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{path} is not JSON ({error}); restore it from the repository") from error
    return None


def _number(value: Any) -> Number | None:
    if value is None:
        return None
    return Number(*value) if isinstance(value, list) else Number(value)
