"""Text forms of the learned scorers: which part of the prompt they read, how it joins the response, what they say.

The forms are those of the authors' released code and, for all but the holistic model, of Fine-Grained RLHF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from alarm.registry import Registry
from alarm.tasks.qa_labels import FACTUALITY_ERROR, GOOD, IGNORED, RELEVANCE_ERROR
from alarm.text.splitting import SentenceSplitter, sentence_spans, split_sentences, sub_sentence_spans


@dataclass(frozen=True)
class Form:
    """What one kind of learned scorer reads and says."""

    kind: str
    before_prompt: str
    before_response: str
    labels: tuple[str, ...] = ()
    """Classes of a unit, in alphabetical order as the logits; empty for one score per response."""
    error: str = ""
    """The class a unit must beat to be good."""
    sub_sentences: bool = False
    """Units are sub-sentences instead of sentences."""
    question_only: bool = False
    """The passages of the prompt are left out."""
    sentence_splitter: SentenceSplitter = split_sentences
    """Finds the sentences that are units, or inside which units are."""

    def prompt(self, prompt: str) -> str:
        """The part of the policy's prompt that the network reads."""
        return question_of(prompt) if self.question_only else prompt

    def unit_spans(self, response: str) -> list[tuple[int, int]]:
        """Character spans of what is judged separately; a response that is scored whole is its only unit."""
        if not self.labels:
            return [(0, len(response))]
        spans = sub_sentence_spans if self.sub_sentences else sentence_spans
        return spans(response, sentence_splitter=self.sentence_splitter)

    def good(self, logits: Tensor) -> Tensor:
        """[units] boolean from [units, labels]: the logit for no error exceeds that for the error; a tie is bad."""
        return logits[:, self.labels.index(GOOD)] > logits[:, self.labels.index(self.error)]


FORMS: Registry[Form] = Registry("learned scorer")
for _form in (
    Form("holistic", "Human: ", "\nAssistant: "),
    Form("completeness", "", " answer: "),
    Form("factuality", "", " answer: ", (FACTUALITY_ERROR, IGNORED, GOOD), FACTUALITY_ERROR),
    Form(
        "relevance",
        "",
        " answer: ",
        (IGNORED, RELEVANCE_ERROR, GOOD),
        RELEVANCE_ERROR,
        sub_sentences=True,
        question_only=True,
    ),
):
    FORMS.add(_form.kind, _form)


def question_of(prompt: str) -> str:
    """The "question: ..." part of a question-answering prompt; a prompt without passages is returned whole.

    >>> question_of("question: Who won? context: wikipage: Cup text: Ann won. ")
    'question: Who won?'
    """
    return re.split(r"\s+context:", prompt, maxsplit=1)[0]
