"""Judges: who says which of two responses is better. Gold quality, a reward model, or a language model.

All answer the same question, `Judge.judge(pairs)`, so a program that compares methods need not know which it has:

    GoldJudge(task)             true quality, where it is known
    RewardModelJudge(scorer)    any scorer, such as the holistic reward model
    OpenAIJudge(...)            a language model behind an OpenAI-compatible server, asked in both orders

Importing this package loads no client; `openai` waits until a question is asked.
"""

from alarm.evaluation.judges.base import (
    Choice,
    Judge,
    Judgement,
    Pair,
    Verdict,
    count_verdicts,
    first_choice_share,
    verdict_of,
)
from alarm.evaluation.judges.openai_judge import OpenAIJudge
from alarm.evaluation.judges.prompting import JudgePrompt, load_prompt
from alarm.evaluation.judges.scoring import GoldJudge, RewardModelJudge

__all__ = [
    "Choice",
    "GoldJudge",
    "Judge",
    "JudgePrompt",
    "Judgement",
    "OpenAIJudge",
    "Pair",
    "RewardModelJudge",
    "Verdict",
    "count_verdicts",
    "first_choice_share",
    "load_prompt",
    "verdict_of",
]
