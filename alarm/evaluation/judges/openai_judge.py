"""A language model as a judge: every pair is asked about in both orders, at temperature 0 (arXiv:2403.06754, 4.1)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from alarm.evaluation.judges.base import Choice, Judge, Judgement, Pair, equal_judgement, verdict_of
from alarm.evaluation.judges.cache import Answer, AnswerCache
from alarm.evaluation.judges.client import AccessError, ChatClient, Endpoint, NoAnswerError
from alarm.evaluation.judges.cost import Budget, BudgetReachedError, CostEstimate, Prices
from alarm.evaluation.judges.parsing import parse_choice
from alarm.evaluation.judges.prompting import JudgePrompt
from alarm.evaluation.judges.questions import DEFAULT_TEMPERATURE, Form, JudgeSettings, Question, both_orders

KIND = "openai"
FAILURES_IN_A_ROW = 10
"""Questions without an answer, with none answered between them, after which a server is taken to be out of order."""
FIRST_FAILURES = 3
"""The same before it has answered anything."""
NOT_ASKED = "not asked yet"
WITHOUT_CHOICE = (Choice.REFUSAL, Choice.UNPARSABLE, Choice.MISSING)


class JudgeStoppedError(ValueError):
    """Asking ended before every question was answered. What was answered is kept; the message says how to go on."""


class OpenAIJudge(Judge):
    """Any model behind an OpenAI-compatible server.

    Answers are asked for in a JSON schema; a server that refuses the request gets the same words in the next form of
    `alarm.evaluation.judges.questions`, and in the first that it takes from then on. Every answer goes to the cache at
    once. Equal responses are ties that are never asked about.

    Args:
        prompt: the words of the question.
        cache: where answers are kept.
        settings: model and manner of asking.
        endpoint: the server; from the environment unless given.
        budget: what may be spent; unlimited unless given.
        on_step: called with the number of questions done and their total after each.
    """

    def __init__(
        self,
        prompt: JudgePrompt,
        cache: AnswerCache,
        settings: JudgeSettings | None = None,
        *,
        endpoint: Endpoint | None = None,
        budget: Budget | None = None,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.prompt, self.cache = prompt, cache
        self.settings = settings or JudgeSettings()
        self.endpoint = endpoint or Endpoint.from_environment()
        self.budget = budget or Budget()
        self.name = f"{KIND}:{self.settings.model}"
        self.client = ChatClient(self.endpoint, timeout=self.settings.timeout, retries=self.settings.retries)
        self.answered = 0
        """Questions answered by the server since this judge was made."""
        self._on_step = on_step
        self._form: int | None = None
        self._failures: dict[str, str] = {}
        self._row_of_failures = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement]:
        """Ask what the cache does not know, then read the judgements.

        Raises:
            JudgeStoppedError: see `collect`.
            AccessError: the server refuses the key or the model.
        """
        self.collect(pairs)
        return self.judgements(pairs)

    def estimate(self, pairs: Sequence[Pair], *, prices: Prices | None = None) -> CostEstimate:
        """What asking about these pairs takes at most; nothing is asked."""
        questions = self._questions(pairs)
        open_questions = [question for question in questions if self._known(question) is None]
        tokens = [question.tokens for question in open_questions]
        return CostEstimate(
            pairs=len(pairs),
            equal_pairs=sum(pair.is_equal for pair in pairs),
            questions=len(questions),
            answered=len(questions) - len(open_questions),
            input_tokens=sum(read for read, _ in tokens),
            output_tokens=sum(written for _, written in tokens),
            prices=prices or self.budget.prices,
        )

    def collect(self, pairs: Sequence[Pair]) -> None:
        """Ask every question that has no answer yet, several at a time. Single questions may stay without one.

        An interruption (Ctrl-C) waits for the questions under way, which are paid for, and keeps their answers.

        Raises:
            JudgeStoppedError: the next question could pass the cap, or the server answers none.
            AccessError: the server refuses the key or the model.
        """
        self.endpoint.require()
        questions = self._questions(pairs)
        waiting = [question for question in questions if self._known(question) is None]
        total, done = len(questions), len(questions) - len(waiting)
        self._on_step(done, total)
        self._stopped.clear()
        # Requests run in threads only, so that Ctrl-C, which the main thread gets, cannot lose one that is paid for.
        pool = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="judge")
        try:
            # One at a time until one is answered: that shows whether key, model and form are accepted.
            while waiting and self._form is None:
                pool.submit(self._ask, waiting.pop(0)).result()
                done += 1
                self._on_step(done, total)
            for future in as_completed([pool.submit(self._ask, question) for question in waiting]):
                future.result()
                done += 1
                self._on_step(done, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def judgements(self, pairs: Sequence[Pair]) -> list[Judgement]:
        """What the answers so far say of each pair; an order without one is `missing`, and its pair invalid."""
        return [self._judgement(pair) for pair in pairs]

    def facts(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """What the verdicts on these pairs depend on and what they cost; never a key."""
        questions = self._questions(pairs)
        known = [found for question in questions if (found := self._find(question))]
        answers, forms = [answer for _, answer in known], Counter(form.name for form, _ in known)
        without_choice = Counter(choice.value for choice, reason in map(self._choice, questions) if reason)
        left_open = any(name.endswith(DEFAULT_TEMPERATURE) for name in forms)
        prices = self.budget.prices
        read, written = (sum(filter(None, counts)) for counts in _tokens(answers))
        return {
            "asked_model": self.settings.model,
            "served_models": dict(Counter(answer.model for answer in answers).most_common()),
            "server": self.endpoint.address,
            "prompt": {"name": self.prompt.name, "version": self.prompt.version, "sha256": self.prompt.sha256},
            "temperature": "default" if left_open else self.settings.temperature,
            "max_tokens": self.settings.max_tokens,
            "questions": len(questions),
            "answers_by_form": dict(forms),
            "without_choice": {choice.value: without_choice[choice] for choice in WITHOUT_CHOICE},
            "tokens": {"input": read, "output": written},
            "usd": prices.of(read, written) if prices else None,
            "usd_per_million_tokens": {"input": prices.input, "output": prices.output} if prices else None,
            "this_time": {
                "requests": self.client.requests,
                "usd_of_all_tasks_with_lost_attempts": self.budget.spent if prices else None,
                "answers": self.answered,
                "answers_from_cache": len(answers) - self.answered,
            },
        }

    def missing(self, pairs: Sequence[Pair]) -> tuple[int, str]:
        """How many questions have no answer, and the commonest reason in words."""
        open_questions = [question for question in self._questions(pairs) if self._known(question) is None]
        reasons = Counter(self._choice(question)[1] for question in open_questions)
        return len(open_questions), reasons.most_common(1)[0][0] if reasons else ""

    def close(self) -> None:
        self.client.close()

    # One pair.

    def _judgement(self, pair: Pair) -> Judgement:
        if pair.is_equal:
            return equal_judgement()
        (first, reason), (second, other_reason) = (self._choice(question) for question in self._orders(pair))
        return Judgement(verdict_of((first, second)), (first, second), (reason, other_reason))

    def _choice(self, question: Question) -> tuple[Choice, str]:
        """What was chosen, with the reason if nothing was."""
        answer = self._known(question)
        if answer is None:
            return Choice.MISSING, self._failures.get(question.key, NOT_ASKED)
        if answer.refusal or answer.finish_reason == "content_filter":
            return Choice.REFUSAL, answer.refusal or "content filter"
        if answer.finish_reason == "length":
            return Choice.UNPARSABLE, f"cut off after {self.settings.max_tokens} tokens"
        choice = parse_choice(answer.text)
        return (choice, "") if choice else (Choice.UNPARSABLE, f"no clear choice in {answer.text[:80]!r}")

    # One question.

    def _questions(self, pairs: Iterable[Pair]) -> list[Question]:
        """Both orders of every pair of different responses; equal questions of different pairs once."""
        found = {}
        for pair in pairs:
            if not pair.is_equal:
                found |= {question.key: question for question in self._orders(pair)}
        return list(found.values())

    def _orders(self, pair: Pair) -> tuple[Question, Question]:
        return both_orders(pair, prompt=self.prompt, settings=self.settings, endpoint=self.endpoint)

    def _known(self, question: Question) -> Answer | None:
        found = self._find(question)
        return found[1] if found else None

    def _find(self, question: Question) -> tuple[Form, Answer] | None:
        """The form that was answered, with the answer."""
        return next(((form, answer) for form in question.forms if (answer := self.cache.get(form.key))), None)

    def _ask(self, question: Question) -> None:
        """Ask one question, unless asking has ended or another process was faster."""
        if self._stopped.is_set() or self._known(question) is not None:
            return
        try:
            self._ask_and_keep(question)
        except Exception:
            # At once, not only when the main thread wakes up: the other threads have questions waiting.
            self._stopped.set()
            raise

    def _ask_and_keep(self, question: Question) -> None:
        """Ask one question and keep its answer, or note why there is none."""
        try:
            reservation = self.budget.reserve(*question.tokens)
        except BudgetReachedError:
            raise JudgeStoppedError(
                f"--max-cost {self.budget.cap:g} USD is reached; raise it and run the same command again, which asks "
                "only what is not answered yet"
            ) from None
        try:
            key, answer = self._ask_in_known_form(question)
        except NoAnswerError as error:
            # What a lost answer may have cost stays set aside; so does that of every attempt before it.
            attempts = self.client.take_chargeable()
            self.budget.lose(question.tokens, attempts - 1 if error.may_cost else attempts)
            if not error.may_cost:
                self.budget.settle(reservation, None, estimated=question.tokens)
            self._note_failure(question, str(error))
            return
        except AccessError:
            self.budget.settle(reservation, None, estimated=question.tokens)
            raise
        self.cache.put(key, answer)
        self.budget.lose(question.tokens, self.client.take_chargeable() - 1)
        self.budget.settle(reservation, answer, estimated=question.tokens)
        with self._lock:
            self.answered += 1
            self._row_of_failures = 0

    def _ask_in_known_form(self, question: Question) -> tuple[str, Answer]:
        """Ask in the form that the server has taken before, else in each until it takes one; returns that form's key.

        Once a form has worked, a refused request has another cause, such as its length.
        """
        if self._form is not None:
            form = question.forms[self._form]
            return form.key, self.client.ask(form.request)
        refusals = []
        for number, form in enumerate(question.forms):
            try:
                answer = self.client.ask(form.request)
            except NoAnswerError as error:
                if not error.refused_request:
                    raise
                refusals.append(error)
            else:
                self._form = number
                return form.key, answer
        raise refusals[0]

    def _note_failure(self, question: Question, reason: str) -> None:
        with self._lock:
            self._failures[question.key] = reason
            self._row_of_failures += 1
            in_a_row = self._row_of_failures
            limit = max(FAILURES_IN_A_ROW, self.settings.concurrency) if self.answered else FIRST_FAILURES
        if in_a_row >= limit:
            raise JudgeStoppedError(
                f"{self.endpoint.host} left {in_a_row} questions in a row without an answer (the last: {reason}); see "
                "to the server and run the same command again, which asks only what is not answered yet"
            )


def _tokens(answers: Sequence[Answer]) -> tuple[list[int | None], list[int | None]]:
    return [answer.input_tokens for answer in answers], [answer.output_tokens for answer in answers]
