"""What asking costs: an upper estimate before the first call, and a cap that spending never passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alarm.evaluation.judges.cache import Answer
from alarm.evaluation.judges.ledger import Ledger

BYTES_PER_TOKEN = 3
"""UTF-8 bytes per token that an estimate assumes. English and German text has 3.5 to 5 with current tokenizers, so
that the estimate is high; the server's own counts replace it answer by answer."""
TOKENS_PER_MESSAGE = 16
"""Of the chat format around a message."""
OFFICIAL_HOST = "api.openai.com"
PRICES_AS_OF = "2026-06"
PRICES = {
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4o": (2.50, 10.00),
    "gpt-4.1": (2.00, 8.00),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-3.5-turbo": (0.50, 1.50),
}
"""USD per million tokens read and written, of models at `OFFICIAL_HOST`, as listed in `PRICES_AS_OF`: standard rates
without discounts. `--price-in` and `--price-out` replace them."""


@dataclass(frozen=True)
class Prices:
    """USD per million tokens."""

    input: float
    output: float

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """USD for that many tokens."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


def prices_of(model: str, host: str, *, given: tuple[float | None, float | None] = (None, None)) -> Prices | None:
    """The prices given by the user, else those known of the model; None where they are unknown.

    Raises:
        ValueError: one price is given without the other, or one is not a price.
    """
    if given != (None, None):
        if None in given:
            raise ValueError("--price-in and --price-out belong together; give both, in USD per million tokens")
        if not all(math.isfinite(price) and price >= 0 for price in given):
            raise ValueError(f"prices are USD per million tokens, 0 or more, got {given[0]} and {given[1]}")
        return Prices(*given)
    known = PRICES.get(model) if host == OFFICIAL_HOST else None
    return Prices(*known) if known else None


def require_prices(prices: Prices | None, cap: float | None, model: str) -> None:
    """Raise `ValueError` if there is a cap that nothing can be held against, or one that is no amount."""
    if cap is not None and not (math.isfinite(cap) and cap >= 0):
        raise ValueError(f"--max-cost is an amount in USD, 0 or more, got {cap}")
    if cap is not None and prices is None:
        raise ValueError(
            f"--max-cost needs prices, and those of {model} on this server are unknown: give --price-in and "
            "--price-out in USD per million tokens (0 for a server of your own)"
        )


def estimated_tokens(text: str) -> int:
    """An upper estimate of a message's tokens, without any tokenizer."""
    return TOKENS_PER_MESSAGE + math.ceil(len(text.encode("utf-8")) / BYTES_PER_TOKEN)


@dataclass(frozen=True)
class CostEstimate:
    """What asking will take at most, before anything is asked."""

    pairs: int
    equal_pairs: int
    """Pairs of equal responses: ties that nobody is asked about."""
    questions: int
    """Different questions, in both orders; equal questions of different pairs are one."""
    answered: int
    """Of these, how many the cache has."""
    input_tokens: int
    output_tokens: int
    prices: Prices | None

    @property
    def usd(self) -> float | None:
        return self.prices.of(self.input_tokens, self.output_tokens) if self.prices else None

    def __str__(self) -> str:
        cost = "at an unknown price" if self.usd is None else f"at most {_upward(self.usd)} USD"
        return (
            f"{self.pairs} pairs, {self.equal_pairs} of them equal; {self.questions} questions in both orders, "
            f"{self.answered} answered already; to ask {self.questions - self.answered}: up to {self.input_tokens} "
            f"tokens in and {self.output_tokens} out, {cost}"
        )


def check_estimates(estimates: Sequence[CostEstimate], cap: float | None, *, spent: float = 0.0) -> None:
    """Raise `ValueError` if the estimates and what is spent exceed the cap; called before the first question."""
    usd = sum(estimate.usd or 0.0 for estimate in estimates)
    if cap is not None and spent + usd > cap:
        already = f" besides the {spent:.2f} USD already spent" if spent else ""
        raise ValueError(
            f"asking would cost up to {_upward(usd)} USD{already}, more than --max-cost {cap:g}: raise it, or ask "
            "about fewer items, seeds or methods"
        )


def _upward(usd: float) -> str:
    """An upper bound in cents, or in hundredths of them below one dollar; never rounded down."""
    digits = 2 if usd >= 1 else 4
    return f"{math.ceil(usd * 10**digits - 1e-9) / 10**digits:.{digits}f}"


class BudgetReachedError(Exception):
    """The next question could cost more than is left."""


class Budget:
    """Holds an invocation's spending below a cap, in all its threads and processes.

    What a question can cost at most is set aside before it is asked and replaced by its price once the server has
    counted, so that questions in flight cannot pass the cap together. Should a server count more than estimated, later
    estimates are raised by the largest such factor. Only questions asked before its first count, and repeated attempts
    at one that timed out, can cost more than was set aside for them; what they cost counts for all that follow.

    Args:
        ledger: whose file the invocation's processes share; None where nothing has a price.
        invocation: names the invocation, the same in all its processes.
        cap: USD; None for no limit.
        prices: None where they are unknown; then there is no cap either.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        invocation: str = "",
        cap: float | None = None,
        prices: Prices | None = None,
    ) -> None:
        require_prices(prices if ledger else None, cap, "this judge")
        self._ledger, self._invocation = ledger, invocation
        self.cap, self.prices = cap, prices

    @property
    def spent(self) -> float:
        """USD so far, what is set aside included."""
        return self._ledger.spent(self._invocation) if self._ledger else 0.0

    def reserve(self, input_tokens: int, output_tokens: int) -> int | None:
        """Set aside what a question costs at most; returns the reservation, None where nothing has a price.

        Raises:
            BudgetReachedError: it could pass the cap.
        """
        if self._ledger is None or self.prices is None:
            return None
        cap = math.inf if self.cap is None else self.cap
        reservation = self._ledger.reserve(self._invocation, self.prices.of(input_tokens, output_tokens), cap=cap)
        if reservation is None:
            raise BudgetReachedError
        return reservation

    def settle(self, reservation: int | None, answer: Answer | None, *, estimated: tuple[int, int]) -> None:
        """Replace a reservation by the price of an answer; without an answer nothing was spent.

        Args:
            reservation: from `reserve`.
            answer: whose tokens the server has counted; where it has not, the estimate stands.
            estimated: tokens in and out that were set aside for it.
        """
        if reservation is None:
            return
        if answer is None:
            self._ledger.settle(reservation, 0.0)
            return
        expected = self.prices.of(*estimated)
        counted = answer.input_tokens is not None and answer.output_tokens is not None
        usd = self.prices.of(answer.input_tokens, answer.output_tokens) if counted else expected
        self._ledger.settle(reservation, usd, factor=usd / expected if expected else 1.0)

    def lose(self, tokens: tuple[int, int], attempts: int) -> None:
        """Count attempts at a question that got no response as if the server had answered them in full."""
        if attempts > 0 and self._ledger is not None and self.prices is not None:
            self._ledger.add(self._invocation, attempts * self.prices.of(*tokens))
