"""ALaRM's premise as a figure: how often the holistic reward orders pairs as gold does, by how good the pair is."""

from __future__ import annotations

import numpy as np

from alarm.report.claims.premise import GoldPairs, agreement_by_decile
from alarm.report.plotting import Drawing, pyplot

COLOUR = "#0072B2"


def premise_figure(task: str, pairs: GoldPairs) -> Drawing:
    """Agreement by decile of the pair's mean gold, with bootstrap intervals over prompts."""
    found = agreement_by_decile(pairs)
    figure, axis = pyplot().subplots(figsize=(10, 4), layout="constrained")
    places = np.arange(1, len(found) + 1)
    values = np.array([estimate.value for estimate in found])
    bars = np.array([[e.value - e.low, e.high - e.value] for e in found]).T
    axis.errorbar(places, values, np.maximum(bars, 0.0), color=COLOUR, marker="o", capsize=3, linewidth=1.2)
    axis.axhline(50, color="black", linewidth=0.8, linestyle=":")
    axis.set_xticks(places)
    axis.set_xlabel("decile of the pair's mean gold quality (10: the best pairs)", fontsize=9)
    axis.set_ylabel("ordered as gold does, %", fontsize=9)
    axis.grid(alpha=0.25)
    figure.suptitle(f"Is the holistic reward less reliable among good responses? {task}", x=0.01, ha="left")
    note = (
        f"{len(pairs.agrees)} pairs of samples of the SFT policy on {pairs.prompts} dev prompts, pairs of equal gold "
        "left out.\nA tie of the reward counts half. Bars: 95 % bootstrap intervals over prompts. Dotted: chance."
    )
    return Drawing(figure, note)
