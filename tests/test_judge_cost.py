"""Answers are kept by content, costs are estimated from above, and a cap holds for all threads and processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alarm.evaluation.judges.base import Pair
from alarm.evaluation.judges.cache import FILE, Answer, AnswerCache, question_key
from alarm.evaluation.judges.client import Endpoint
from alarm.evaluation.judges.cost import (
    Budget,
    BudgetReachedError,
    CostEstimate,
    Prices,
    check_estimates,
    estimated_tokens,
    prices_of,
    require_prices,
)
from alarm.evaluation.judges.ledger import Ledger
from alarm.evaluation.judges.prompting import JudgePrompt
from alarm.evaluation.judges.questions import JudgeSettings, both_orders
from alarm.tasks.base import Example

ROOT = Path(__file__).resolve().parents[1]
PRICES = Prices(1.0, 10.0)


def answer(text: str = "A", tokens: tuple[int | None, int | None] = (100, 5)) -> Answer:
    return Answer(text, "stop", "", "m", *tokens)


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path)


def test_a_second_process_finds_what_the_first_kept(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from alarm.evaluation.judges.cache import *\n"
        "AnswerCache(Path(sys.argv[1])).put('k', Answer('B', 'stop', '', 'm', 1, None)); os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, timeout=120)
    assert ended.returncode == 9
    assert AnswerCache(tmp_path).get("k") == Answer("B", "stop", "", "m", 1, None)
    assert AnswerCache(tmp_path).get("other") is None


def test_the_first_answer_to_a_question_stays(cache):
    assert cache.put("k", answer("A")).text == "A"
    assert cache.put("k", answer("B")).text == "A"
    assert len(cache) == 1


def test_many_threads_and_two_connections_share_one_file(tmp_path, cache):
    other = AnswerCache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: (cache, other)[i % 2].put(f"k{i // 2}", answer(str(i // 2))), range(200)))
    assert len(cache) == len(other) == 100
    assert all(cache.get(f"k{i}").text == str(i) for i in range(100))


def test_a_damaged_file_is_named_with_a_remedy(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(ValueError, match=r"answers.sqlite cannot be used .*move it away, or .*--cache"):
        AnswerCache(tmp_path)
    later = tmp_path / "later"
    AnswerCache(later).close()
    connection = sqlite3.connect(later / FILE)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(ValueError, match="schema 7, this version reads 1"):
        AnswerCache(later)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be used .*--cache"):
        AnswerCache(tmp_path / "file" / "below")


def test_everything_an_answer_depends_on_is_in_its_key():
    prompt = JudgePrompt("p", "v1", "$source $reference $first $second")
    changed_prompt = JudgePrompt("p", "v1", "$source $reference $first $second!")
    pair = Pair(Example("i", "p", "r", {"source": "s"}), "one", "two")
    usual = {"prompt": prompt, "settings": JudgeSettings(), "endpoint": Endpoint("http://h/v1")}

    def keys(pair=pair, **changes):
        questions = both_orders(pair, **{**usual, **changes})
        return [form.key for question in questions for form in question.forms]

    variants = [
        keys(),
        keys(prompt=changed_prompt),
        keys(settings=JudgeSettings(model="other")),
        keys(settings=JudgeSettings(max_tokens=65)),
        keys(endpoint=Endpoint("http://other/v1")),
        keys(Pair(Example("i", "p", "r2", {"source": "s"}), "one", "two")),
        keys(Pair(Example("i", "p", "r", {"source": "s2"}), "one", "two")),
        keys(Pair(Example("i", "p", "r", {"source": "s"}), "one", "three")),
    ]
    everything = [key for variant in variants for key in variant]
    assert len(set(everything)) == len(everything) == 8 * len(variants)
    warmer = keys(settings=JudgeSettings(temperature=0.5))
    assert [key in keys() for key in warmer] == [False, False, True, True] * 2  # two forms leave it to the server
    # And nothing else is: neither how long to wait, nor the key, nor the id of the item.
    assert keys(settings=JudgeSettings(timeout=1, retries=1, concurrency=1)) == keys()
    assert keys(endpoint=Endpoint("http://user:secret@h/v1/", "sk-12345678")) == keys()
    assert keys(Pair(Example("j", "p", "r", {"source": "s"}), "one", "two")) == keys()
    assert question_key({"a": 1}, "h") != question_key({"a": 2}, "h")


def test_prices():
    assert prices_of("gpt-4o-mini", "api.openai.com") == Prices(0.15, 0.60)
    assert prices_of("gpt-4o-mini", "localhost:8000") is None
    assert prices_of("my-model", "api.openai.com") is None
    assert prices_of("my-model", "localhost:8000", given=(0.0, 0.0)) == Prices(0.0, 0.0)
    assert prices_of("gpt-4o-mini", "api.openai.com", given=(1.0, 2.0)) == Prices(1.0, 2.0)
    assert Prices(0.15, 0.60).of(2_000_000, 1_000_000) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: prices_of("m", "h", given=(1.0, None)), "--price-in and --price-out belong together"),
        (lambda: prices_of("m", "h", given=(-1.0, 1.0)), "prices are USD per million tokens, 0 or more"),
        (lambda: require_prices(None, 5.0, "m"), "--max-cost needs prices, and those of m .* are unknown"),
        (lambda: require_prices(PRICES, -1.0, "m"), "--max-cost is an amount in USD"),
        (lambda: require_prices(PRICES, float("nan"), "m"), "--max-cost is an amount in USD"),
    ],
)
def test_unusable_prices_and_caps_are_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        call()


def test_a_cap_needs_no_prices_where_there_is_none():
    require_prices(None, None, "m")
    require_prices(Prices(0.0, 0.0), 0.0, "m")


def test_token_estimates_count_bytes_so_that_other_scripts_are_not_underrated():
    assert estimated_tokens("Zwei Hunde spielen im Schnee.") == 16 + 10
    assert estimated_tokens("犬が走る") == 16 + 4


def estimate(tokens_in: int, prices: Prices | None = PRICES) -> CostEstimate:
    return CostEstimate(10, 2, 16, 6, tokens_in, 0, prices)


def test_an_estimate_in_words():
    assert str(estimate(2_000_000)) == (
        "10 pairs, 2 of them equal; 16 questions in both orders, 6 answered already; to ask 10: up to 2000000 tokens "
        "in and 0 out, at most 2.00 USD"
    )
    assert str(estimate(5, None)).endswith("at an unknown price")


def test_estimates_of_all_tasks_together_are_held_against_the_cap():
    check_estimates([estimate(1_000_000), estimate(1_000_000)], 2.0)
    check_estimates([estimate(1_000_000, None)], None)
    with pytest.raises(ValueError, match=r"up to 2.00 USD, more than --max-cost 1.99: raise it, or ask about fewer"):
        check_estimates([estimate(1_000_000), estimate(1_000_000)], 1.99)
    with pytest.raises(ValueError, match=r"up to 1.00 USD besides the 0.50 USD already spent"):
        check_estimates([estimate(1_000_000)], 1.0, spent=0.5)


def test_questions_in_flight_cannot_pass_the_cap_together(tmp_path, ledger):
    """A dollar each at most: of eight threads on two connections, three may ask."""
    budgets = [Budget(one, invocation="i", cap=3.0, prices=PRICES) for one in (ledger, Ledger(tmp_path))]

    def reserve(i: int) -> bool:
        try:
            return budgets[i % 2].reserve(1_000_000, 0) is not None
        except BudgetReachedError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(reserve, range(8))) == 3
    assert budgets[0].spent == budgets[1].spent == pytest.approx(3.0)
    assert Budget(ledger, invocation="another", cap=3.0, prices=PRICES).reserve(1_000_000, 0)


def test_what_was_set_aside_gives_way_to_what_was_spent(ledger):
    budget = Budget(ledger, invocation="i", cap=1.5, prices=PRICES)
    first = budget.reserve(1_000_000, 0)
    with pytest.raises(BudgetReachedError):
        budget.reserve(1_000_000, 0)
    budget.settle(first, answer(tokens=(200_000, 10_000)), estimated=(1_000_000, 100_000))
    assert budget.spent == pytest.approx(0.3)
    second = budget.reserve(1_000_000, 0)
    budget.settle(second, None, estimated=(1_000_000, 0))
    assert budget.spent == pytest.approx(0.3)
    third = budget.reserve(1_000_000, 0)
    budget.settle(third, answer(tokens=(None, None)), estimated=(1_000_000, 0))
    assert budget.spent == pytest.approx(1.3)


def test_a_server_that_counts_more_than_estimated_raises_later_estimates(ledger):
    budget = Budget(ledger, invocation="i", cap=10.0, prices=PRICES)
    budget.settle(budget.reserve(1_000_000, 0), answer(tokens=(4_000_000, 0)), estimated=(1_000_000, 0))
    budget.reserve(1_000_000, 0)
    assert budget.spent == pytest.approx(4 + 4)
    with pytest.raises(BudgetReachedError):
        budget.reserve(1_000_000, 0)


def test_nothing_is_set_aside_where_prices_are_unknown(ledger):
    budget = Budget(ledger, invocation="i", cap=None, prices=None)
    assert budget.reserve(10**9, 10**9) is None
    budget.settle(None, answer(), estimated=(1, 1))
    assert budget.spent == Budget().spent == 0
    assert Budget().reserve(10**9, 10**9) is None
    with pytest.raises(ValueError, match="--max-cost needs prices"):
        Budget(ledger, cap=1.0)
