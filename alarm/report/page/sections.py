"""The page's sections: what each is called, how to read it, and which tables and figures stand in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar


class Named(Protocol):
    name: str


Item = TypeVar("Item", bound=Named)


@dataclass(frozen=True)
class Section:
    """One section; a table or figure stands in the first that asks for its name."""

    anchor: str
    title: str
    intro: str
    tables: str = r"$^"
    """Regular expression of the names of its tables."""
    figures: str = r"$^"
    heat: bool = False
    """Whether win rates are coloured by their distance from 50."""
    short: str = ""
    """The title in the page's navigation, where it must be shorter."""
    folded: bool = True
    """Whether tables open on demand; figures are always shown."""


SECTIONS = (
    Section(
        "paper-claims",
        "Claims",
        "Each claim of the papers with what came out here, per task and set of seeds. An effect is positive where the "
        "claim is true; a verdict needs the same outcome from every set of seeds.",
        tables=r"^claims",
        figures=r"^(claims|premise)",
        folded=False,
    ),
    Section(
        "headline",
        "At a glance",
        "What each method gained over the policy it started from in gold quality, which is this scale's best measure "
        "of how good an answer really is; and how often it wins against the paper's methods on average, with the "
        "published numbers beside. The bar shows the gain's interval around zero.",
        tables=r"^headline_",
        short="Glance",
        folded=False,
    ),
    Section(
        "win-rates",
        "Win rates",
        "How often the row's response beats the column's on the same prompt. Blue: the row wins more than half; "
        "orange: less. An asterisk marks a difference that is significant after correction over the table. Below, the "
        "paper's number: ✓ same direction, ✗ opposite, ≈ not distinguishable.",
        tables=r"win_rates|^judge_",
        heat=True,
        folded=False,
    ),
    Section(
        "ranking",
        "Ranking and agreement",
        "Which methods differ by gold, all methods in one order from all pairwise verdicts, and how far the judges "
        "agree.",
        short="Ranking",
        tables=r"^(pairs|ranking|agreement)_",
    ),
    Section(
        "quality",
        "Quality",
        "Means over the test prompts after training, and gold quality before and after.",
        tables=r"_means|^gold_quality|^all_good|^translation|^grid",
    ),
    Section(
        "habits",
        "What became of the policy",
        "Which writers of the world the responses look like before and after training.",
        short="Habits",
        tables=r"^habits",
        figures=r"^habits",
    ),
    Section(
        "training",
        "Training curves",
        "Mean over seeds with a band of one standard deviation.",
        short="Training",
        tables=r"^(spread|stability)",
        figures=r"^curves_",
    ),
    Section(
        "fronts",
        "Quality against KL",
        "What is won by gold at a given distance from the SFT policy, for PPO and for best-of-k, and who gains.",
        short="KL fronts",
        tables=r"^(over_optimisation|log_sigmoid|improvements)",
        figures=r"^(over_optimisation|log_sigmoid|improvements)",
    ),
    Section(
        "selection",
        "Proactive selection",
        "How often each aspect contradicts the holistic reward, and each choice of aspect in ALaRM.",
        short="Selection",
        tables=r"^figure\d|selection",
        figures=r"selection$",
    ),
    Section(
        "denoising",
        "Reward models and denoising",
        "Preference strength as a detector of wrong labels, and the recipes that use it.",
        short="Reward models",
        tables=r"^(strength|recipes)_",
        figures=r"^(strength|recipes)_",
    ),
    Section(
        "metarm",
        "MetaRM",
        "A reward model that follows the policy, round by round, beside one that stays as it was.",
        tables=r"^meta_rounds",
        figures=r"^meta_rounds",
    ),
    Section(
        "throughput",
        "Throughput",
        "Seconds by phase and work per second, for each kind of hardware apart, and our PPO beside other libraries'.",
        tables=r"^throughput",
        folded=False,
    ),
    Section(
        "setup",
        "Setup",
        "What all runs of a task share: SFT quality, annotators, reward models, normalisation constants.",
        tables=r"^setup_",
    ),
)
REST = Section("more", "More", "Further tables and figures.")


@dataclass(frozen=True)
class Filled(Section):
    """A section with what it shows."""

    shown_tables: Sequence[Any] = ()
    shown_figures: Sequence[Any] = ()

    def showing(self, tables: Sequence[Any], figures: Sequence[Any]) -> Filled:
        """The same section with other forms of its tables and figures."""
        return replace(self, shown_tables=tables, shown_figures=figures)


def fill(tables: Sequence[Item], figures: Sequence[Item]) -> list[Filled]:
    """Sections that have something to show, each table and figure in exactly one; unknown ones come last."""
    filled = []
    for section in (*SECTIONS, replace(REST, tables="", figures="")):
        mine, tables = _parted(tables, section.tables)
        drawn, figures = _parted(figures, section.figures)
        if mine or drawn:
            filled.append(Filled(**vars(section), shown_tables=tuple(mine), shown_figures=tuple(drawn)))
    return filled


def _parted(items: Sequence[Item], pattern: str) -> tuple[list[Item], list[Item]]:
    """Those with a name that the pattern finds, and the others."""
    found = [item for item in items if re.search(pattern, item.name)]
    return found, [item for item in items if not re.search(pattern, item.name)]
