"""What numbers depend on besides settings: the code that computes them and the libraries it calls."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import alarm

POLICY_CODE = (
    "tasks/base.py",
    "text/offsets.py",
    "fused",
    *(
        f"ppo/{name}.py"
        for name in (
            "batch",
            "engine",
            "networks",
            "policy",
            "processes",
            "prompts",
            "rollout",
            "sft",
            "sft_checkpoint",
            "tokenizer",
            "trunks",
        )
    ),
    "experiment/generation.py",
    "experiment/initial_policy.py",
    "experiment/policy_lab.py",
)
REWARD_CODE = (
    *POLICY_CODE,
    "text/splitters.py",
    "text/splitting.py",
    "scorers",
    "reward_modeling",
    "selection.py",
    "evaluation/win_rates.py",
    "experiment/constants.py",
    "experiment/lab.py",
    "experiment/proactive.py",
    "experiment/reward_lab.py",
    "experiment/scoring.py",
)
RUN_CODE = (
    *REWARD_CODE,
    "ppo",
    "compositions.py",
    "methods.py",
    "references.py",
    "transforms.py",
    "evaluation/translation.py",
    "experiment/reference_levels.py",
    "experiment/phases.py",
    "experiment/rewards.py",
    "experiment/rounds.py",
    "experiment/run.py",
    "experiment/run_record.py",
    "experiment/sharded_scorer.py",
)
STUDY_CODE = (*RUN_CODE, "experiment/reward_study.py")
"""Per stage, the sources below `alarm/` that can change its artifacts: editing one rebuilds these and no others.
A lab adds its task's own (`Lab.task_code`)."""

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "trl",
    "peft",
    "numpy",
    "harper-py",
    "lingua-language-detector",
    "textstat",
    "sacrebleu",
)


@cache
def code_fingerprint(sources: tuple[str, ...]) -> str:
    """A hash of the named source files, folders with all their modules."""
    root = Path(alarm.__file__).parent
    for source in sources:
        if not (root / source).exists():
            raise FileNotFoundError(f"{source} is named as code that numbers depend on, but alarm/ has no such file")
    paths = {path for source in sources for path in [root / source, *(root / source).rglob("*.py")] if path.is_file()}
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def library_versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}
