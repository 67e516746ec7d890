"""What a run leaves on record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alarm.environment import environment
from alarm.experiment.scoring import score_labels
from alarm.methods import method_source
from alarm.ppo import processes
from alarm.records import RunRecord

if TYPE_CHECKING:
    from alarm.experiment.run import Run


def run_record(
    run: Run,
    history: list[dict[str, Any]],
    metrics: dict[str, Any],
    durations: dict[str, float],
    *,
    started: str,
    error: str | None,
) -> RunRecord:
    """The record of a run that ends now, in the words of its lab, its method and its scorers."""
    lab, method = run.lab, run.method
    scorers = {"holistic": lab.holistic_scorer, **lab.scorers}
    labels, directions = score_labels(lab)
    return RunRecord(
        task=run.spec.task,
        method=method.name,
        aspect=run.aspect,
        aspect_given=run.aspect_given,
        recipe=method.recipe,
        scale=lab.preset.scale,
        seed=run.spec.seed,
        settings=lab.preset.to_dict(),
        environment=_environment(lab.device),
        data_fingerprint=lab.task.fingerprint,
        started=started,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        durations=durations,
        history=history,
        metrics=metrics,
        directions=directions,
        score_labels=labels,
        error=error,
        method_settings={
            "source": method_source(method),
            "description": method.description,
            "composition": f"{method.compose.__module__}.{method.compose.__qualname__}, {method.properties} properties",
            "released_defects": method.released_defects,
            "ppo": dict(method.ppo),
            "reward_model": lab.holistic(method.recipe).version,
            "constants": {name: constants.to_dict() for name, constants in lab.constants.items()},
            "scorers": {name: scorer.version for name, scorer in scorers.items()},
        },
    )


def _environment(device: str) -> dict[str, Any]:
    """Where the run took place, with the number of processes where it is not one."""
    found = environment(device)
    if processes.count() > 1:
        found |= {"hardware": f"{found['hardware']}, {processes.count()} processes", "processes": processes.count()}
    return found
