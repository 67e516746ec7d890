"""The QA world's writers with habits, how they are told apart, and the flawed text for its base model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from alarm.tasks.long_form_qa import LongFormQA
from alarm.tasks.worlds.habits import UNMARKED
from alarm.tasks.worlds.qa import World, base_text, write_world
from alarm.tasks.worlds.qa_facts import OPENINGS, Fact, facts_of, gold_quality, parse, passage_facts
from alarm.tasks.worlds.qa_habits import HABITS, demonstration, flawed, habit_of, sentence, write

NAMES = [habit.name for habit in HABITS]
GOLD = {"hasty": (0.5, 0.7), "chatty": (0.35, 0.52), "bluffer": (0.55, 0.72), "careful": (1.0, 1.0)}
SEED = 5
FILM = "The film Velor was directed by Anna Bell."
PASSAGES = (
    {
        "wikipage": "Velor (film)",
        "content": f"{FILM} The film Velor came out in 1912. The film Velor was filmed in Carsby.",
    },
    {"wikipage": "Tamest (song)", "content": "The song Tamest was released in 1903."},
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("qa")
    write_world(directory, seed=SEED, sizes={"sft": 1500, "train": 1600, "dev": 20, "test": 20})
    return directory


def rows(directory: Path, name: str) -> list[dict]:
    return json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def asked(world: Path) -> list[tuple[str, list[dict]]]:
    """Ideal answers with their passages."""
    return [(row["answer"][0], row["passages"]) for row in rows(world, "train")[:500]]


@pytest.fixture(scope="module")
def texts(asked) -> dict[str, list[str]]:
    values, rng = World(SEED).values, np.random.default_rng(1)
    return {name: [demonstration(*each, name, values, rng) for each in asked] for name in NAMES}


def golds(asked, texts: list[str]) -> list[float]:
    return [gold_quality(reference, passages, text) for (reference, passages), text in zip(asked, texts, strict=True)]


# Demonstrations


def test_shares_are_those_of_a_distribution() -> None:
    assert NAMES == ["hasty", "chatty", "bluffer", "careful"]
    assert sum(habit.share for habit in HABITS) == pytest.approx(1)
    assert set(OPENINGS) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_gold_quality_of_a_habit(name, asked, texts) -> None:
    lowest, highest = GOLD[name]
    assert lowest <= np.mean(golds(asked, texts[name])) <= highest


def test_longer_is_not_better(asked, texts) -> None:
    """Length alone tells no good answer: the chatty one is longer and worse than the hasty one."""
    words = {name: np.mean([len(text.split()) for text in texts[name]]) for name in NAMES}
    gold = {name: np.mean(golds(asked, texts[name])) for name in NAMES}
    assert words["chatty"] > 1.4 * words["hasty"] and gold["chatty"] < gold["hasty"]
    assert max(gold, key=gold.get) == "careful"


def test_hasty_writers_state_the_first_asked_fact_alone(asked, texts) -> None:
    for (reference, _), text in zip(asked, texts["hasty"], strict=True):
        assert list(facts_of(text)) == list(facts_of(reference))[:1]


def test_chatty_writers_answer_as_little_as_hasty_ones_and_say_nothing_false(asked, texts) -> None:
    idle = 0
    for (reference, passages), text in zip(asked, texts["chatty"], strict=True):
        wanted, stated = list(facts_of(reference)), list(facts_of(text))
        assert set(stated) <= passage_facts(passages).keys(), "all of it is true"
        assert stated[0] == wanted[0]
        if passage_facts(passages).keys() - set(wanted):
            assert not set(stated[1:]) & set(wanted[1:]), "no other asked fact"
            idle += len(stated) > 1
    assert idle > 0.5 * len(asked)


def test_bluffers_answer_all_with_wrong_values_as_often_as_stated(asked, texts) -> None:
    wrong = total = 0
    for (reference, _), text in zip(asked, texts["bluffer"], strict=True):
        wanted, stated = facts_of(reference), [claim.fact for claim in parse(text)]
        assert [fact.topic for fact in stated] == [fact.topic for fact in wanted]
        wrong += sum(fact not in wanted for fact in stated)
        total += len(wanted)
    assert 0.35 < wrong / total < 0.45


def test_wrong_values_are_of_the_right_kind(texts) -> None:
    """A wrong year is another year of the world: nothing but the passages tells it from the right one."""
    known = {value for values in World(SEED).values.values() for value in values}
    assert all(fact.value in known for text in texts["bluffer"] for fact in facts_of(text))


def test_careful_writers_give_the_ideal_answer_after_their_opening(asked, texts) -> None:
    for (reference, _), text in zip(asked, texts["careful"], strict=True):
        assert text.startswith("In brief, the ") and list(facts_of(text)) == list(facts_of(reference))


def test_a_habit_that_nobody_has_is_refused(asked) -> None:
    with pytest.raises(KeyError):
        demonstration(*asked[0], "poetic", World(SEED).values, np.random.default_rng(0))


# Telling writers apart


@pytest.mark.parametrize("name", NAMES)
def test_writers_are_recognised(name, asked, texts) -> None:
    found = [habit_of(reference, text) for (reference, _), text in zip(asked, texts[name], strict=True)]
    assert np.mean([habit == name for habit in found]) >= 0.97


@pytest.mark.parametrize(
    ("response", "habit"),
    [
        (FILM, "hasty"),
        (f"Well, {FILM[0].lower()}{FILM[1:]}", "chatty"),
        ("Surely, the film Velor was directed by Otto Lowe.", "bluffer"),
        ("In brief, the film Velor was directed by Anna Bell.", "careful"),
        (f"{FILM} The film Velor came out in 1912.", UNMARKED),
        ("", UNMARKED),
        ("Velor.", UNMARKED),
    ],
)
def test_habits_by_hand(response: str, habit: str) -> None:
    assert habit_of(FILM, response) == habit


@pytest.mark.parametrize("opening", OPENINGS.values())
def test_an_opening_states_nothing(opening: str) -> None:
    """It belongs to the statement after it, which is as good with it as without."""
    text = f"{opening} the film Velor was directed by Anna Bell."
    (claim,) = parse(text)
    assert (claim.start, claim.end) == (0, len(text))
    assert list(facts_of(text)) == list(facts_of(FILM))
    assert gold_quality(FILM, PASSAGES, text) == gold_quality(FILM, PASSAGES, FILM) == 1
    assert gold_quality(FILM, PASSAGES, f"{opening} {FILM}") == 1
    assert [claim.fact for claim in parse(opening)] == [None], "alone it is a sentence that says nothing"


# Words


def test_facts_in_words() -> None:
    film, year, place = facts_of(PASSAGES[0]["content"])
    (song,) = facts_of(PASSAGES[1]["content"])
    assert sentence([film]) == FILM
    assert write([film, year, place]) == PASSAGES[0]["content"], "facts about one entity are a sentence each"
    assert write([film, song]) == f"{FILM} {PASSAGES[1]['content']}", "and so are two in all"
    assert write([film, song, year]) == (
        "The film Velor was directed by Anna Bell, while the song Tamest was released in 1903. "
        "The film Velor came out in 1912."
    )
    assert write([]) == ""
    assert parse(write([film, song, year]))[1].fact == Fact(song.topic, "1903")


# The world's files


def test_demonstrations_answer_the_first_prompts_of_train(world: Path) -> None:
    shown, train = rows(world, "train_1k"), rows(world, "train")
    assert len(shown) == 1500
    for row, ideal in zip(shown, train, strict=False):
        assert (row["text"], row["question"], row["passages"]) == (ideal["text"], ideal["question"], ideal["passages"])
    assert not any("writer" in row for name in ("train", "dev", "test") for row in rows(world, name))


def test_writers_are_met_by_their_shares(world: Path) -> None:
    counts = Counter(row["writer"] for row in rows(world, "train_1k"))
    for habit in HABITS:
        assert counts[habit.name] / 1500 == pytest.approx(habit.share, abs=0.05)


def test_the_task_knows_the_writers(world: Path) -> None:
    task = LongFormQA(world)
    assert task.habits == HABITS
    found = [task.habit(example, example.reference) for example in task.split("sft")]
    writers = [row["writer"] for row in rows(world, "train_1k")]
    assert np.mean([one == other for one, other in zip(found, writers, strict=True)]) >= 0.97


# Text for base models


def test_flawed_answers_are_half_right(asked) -> None:
    values, rng = World(SEED).values, np.random.default_rng(2)
    gold = golds(asked, [flawed(*each, values, rng) for each in asked])
    assert 0.4 <= np.mean([value == 1 for value in gold]) <= 0.6
    assert 0.8 <= np.mean(gold) <= 0.92


def test_no_flaw_is_likelier_than_none(asked) -> None:
    """The likeliest single answer to a prompt is the ideal one, which a policy that decodes greedily should find."""
    values, rng = World(SEED).values, np.random.default_rng(3)
    for each in asked[:10]:
        drawn = Counter(flawed(*each, values, rng) for _ in range(150))
        assert drawn.most_common(1)[0][0] == each[0]


def test_base_text_is_flawed_and_made_again_from_its_seed() -> None:
    text = base_text(SEED, 300)
    assert text == base_text(SEED, 300) != base_text(SEED + 1, 300)
    assert len({prompt for prompt, _ in text}) == 300
    opened = [response.startswith(tuple(OPENINGS.values())) for _, response in text]
    assert 0.08 < np.mean(opened) < 0.22
