"""The QA world: invented films, novels, songs, bridges and museums, and questions that can be read in several ways.

Several entities share each name, so "Who made Velor?" asks about the film Velor as well as the novel Velor. A prompt
is such a question with passages about the entities that are meant and about others; the ideal answer states what is
asked of every entity that is meant. Files have QA-Feedback's published layout, so its ordinary loader reads them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alarm.tasks.qa_feedback import policy_prompt
from alarm.tasks.worlds.habits import draw_habit
from alarm.tasks.worlds.qa_facts import KINDS, SLOTS, Fact, Topic
from alarm.tasks.worlds.qa_habits import HABITS, demonstration, flawed, sentence, write

SIZES: Mapping[str, int] = {"sft": 4000, "train": 9000, "dev": 400, "test": 400}
"""Prompts per split; `sft` has the prompts of the first part of `train`, answered by writers with habits."""

NAMES = 16

_ONSETS = ("Vel", "Tam", "Kor", "Bren", "Sil", "Mar", "Dun", "Hal", "Ost", "Fen", "Gar", "Lin")
_CODAS = ("or", "sen", "ika", "dale", "wick", "una", "est", "ara")
_PLACES = ("Aldmoor", "Birkfell", "Carsby", "Dornach", "Elmsund", "Fosvik", "Grenholt", "Hexford", "Ivarsea", "Jarrow",
           "Kelling", "Lorvik", "Munsby", "Norvale", "Oldrath", "Penkirk")  # fmt: skip
_FIRST_NAMES = (
    "Anna",
    "Boris",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Greta",
    "Henry",
    "Irene",
    "Jonas",
    "Karen",
    "Lucas",
)
_LAST_NAMES = ("Archer", "Bell", "Carter", "Dixon", "Evans", "Fisher", "Grant", "Hughes", "Irving", "Jensen", "Keller",
               "Lowe", "Mason", "Norris")  # fmt: skip
_YEARS = tuple(range(1901, 1941))

_QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "maker": ("Who made {}?", "Who is behind {}?", "Which person made {}?"),
    "year": ("When did {} first appear?", "In which year did {} first appear?", "From what year is {}?"),
    "place": ("Which town is linked to {}?", "What town belongs to {}?", "To which town is {} linked?"),
}
_ALSO: Mapping[str, str] = {
    "maker": "who made it",
    "year": "when did it first appear",
    "place": "which town is linked to it",
}
_EVERYTHING = ("What is known about {}?", "Tell me all about {}.", "Give me the facts about {}.")

Entity = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True)
class Question:
    """A question's words, the name it is about, the kind if it says one, and the attributes it asks for."""

    text: str
    name: str
    kind: str | None
    slots: tuple[str, ...]


class World:
    """The entities, their facts and every question about them, all decided by one seed."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        names = [onset + coda for onset, coda in itertools.product(_ONSETS, _CODAS)]
        kinds = sorted(KINDS)
        self.kinds: dict[str, tuple[str, ...]] = {}
        self.facts: dict[Entity, dict[str, Fact]] = {}
        for i in sorted(rng.choice(len(names), size=NAMES, replace=False).tolist()):
            picked = rng.choice(len(kinds), size=int(rng.integers(3, 5)), replace=False)
            self.kinds[names[i]] = tuple(kinds[k] for k in sorted(picked))
            for kind in self.kinds[names[i]]:
                self.facts[kind, names[i]] = {
                    slot: Fact(Topic(kind, names[i], KINDS[kind][slot]), _value(slot, rng)) for slot in SLOTS
                }

    def questions(self) -> list[Question]:
        """Every question of the world, each text once, in a fixed order."""
        found = []
        for name, kinds in self.kinds.items():
            for slot in SLOTS:
                found += [Question(form.format(name), name, None, (slot,)) for form in _QUESTIONS[slot]]
            found += [Question(text, name, None, slots) for slots, text in _pair_questions(name)]
            for kind in kinds:
                subject = f"the {kind} {name}"
                found += [Question(text, name, kind, slots) for slots, text in _pair_questions(subject)]
                found += [Question(form.format(subject), name, kind, SLOTS) for form in _EVERYTHING]
        return found

    def meant(self, question: Question, rng: np.random.Generator) -> tuple[Entity, ...]:
        """The entities a question means in one prompt: two of its name, or three if it asks for one attribute only.
        The passages show which."""
        if question.kind is not None:
            return ((question.kind, question.name),)
        kinds = self.kinds[question.name]
        count = 2 if len(question.slots) > 1 else int(rng.integers(2, 4))
        picked = sorted(rng.choice(len(kinds), size=count, replace=False).tolist())
        return tuple((kinds[i], question.name) for i in picked)

    def answer(self, question: Question, meant: Sequence[Entity]) -> str:
        """The ideal answer: attribute by attribute, each for every entity that is meant. Facts about
        one entity, or two facts in all, are a sentence each; else two facts share a sentence."""
        return write([self.facts[entity][slot] for slot in question.slots for entity in meant])

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """Attribute to all the values that the world's facts have."""
        facts = [fact for facts in self.facts.values() for fact in facts.items()]
        return {slot: tuple(dict.fromkeys(fact.value for of, fact in facts if of == slot)) for slot in SLOTS}

    def passages(self, question: Question, meant: Sequence[Entity], rng: np.random.Generator) -> list[dict[str, str]]:
        """Passages about the entities that are meant and sometimes about another, one to three, in random order.

        A question that says a kind always gets a passage about another entity, every second time one of the same name;
        a question that means two entities gets one every second time. A passage states all that is asked of its entity
        and, each with probability one half, its other facts.
        """
        others = [entity for entity in self.facts if entity[1] != question.name]
        count = (1, int(rng.random() < 0.5), 0)[len(meant) - 1]
        described = [*meant, *(others[i] for i in rng.choice(len(others), size=count, replace=False))]
        if question.kind is not None and rng.random() < 0.5:
            namesakes = [kind for kind in self.kinds[question.name] if kind != question.kind]
            described[-1] = (_pick(namesakes, rng), question.name)
        written = []
        for i in rng.permutation(len(described)):
            kind, name = described[i]
            slots = [slot for slot in SLOTS if slot in question.slots or rng.random() < 0.5]
            content = " ".join(sentence([self.facts[kind, name][slot]]) for slot in slots)
            written.append({"wikipage": f"{name} ({kind})", "content": content})
        return written


def write_world(directory: Path | str, *, seed: int, sizes: Mapping[str, int] = SIZES) -> None:
    """Write `train.json`, `train_1k.json` (for supervised fine-tuning), `dev.json` and `test.json`.

    The answers of `train_1k.json` are demonstrations by writers with habits, named as `writer`; all others are ideal.
    Facts recur in all splits; questions, and therefore prompts, never do: three quarters of the world's questions
    belong to train, an eighth each to dev and test. Within a split a question may come again with other passages.

    Args:
        directory: where to write; made if absent.
        seed: decides the world and every file, byte for byte.
        sizes: prompts per split, with the keys of `SIZES`; missing ones have the default.
    """
    unknown = set(sizes) - set(SIZES)
    if unknown:
        raise ValueError(f"unknown splits {sorted(unknown)} in sizes; known are {', '.join(SIZES)}")
    sizes = {**SIZES, **sizes}
    if not 0 < sizes["sft"] <= sizes["train"] or min(sizes.values()) < 1:
        raise ValueError(f"sizes must be positive and sft at most train (it is a part of it); got {dict(sizes)}")
    world, rng = World(seed), np.random.default_rng([seed, 1])
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name, questions in _parts(world, rng).items():
        rows = _rows(world, questions, sizes[name], rng)
        _write(directory / f"{name}.json", rows)
        if name == "train":
            _write(directory / "train_1k.json", _demonstrated(world, rows[: sizes["sft"]], seed))


def base_text(seed: int, count: int) -> list[tuple[str, str]]:
    """`count` prompts about the train questions of the world of this seed, each with an answer of mixed quality."""
    world = World(seed)
    questions = _parts(world, np.random.default_rng([seed, 1]))["train"]
    rows, rng = _rows(world, questions, count, np.random.default_rng([seed, 3])), np.random.default_rng([seed, 4])
    values = world.values
    return [(row["text"], flawed(row["answer"][0], row["passages"], values, rng)) for row in rows]


def _parts(world: World, rng: np.random.Generator) -> dict[str, list[Question]]:
    """The world's questions by split, dev and test before train."""
    questions = world.questions()
    questions = [questions[i] for i in rng.permutation(len(questions))]
    eighth = len(questions) // 8
    return {"dev": questions[:eighth], "test": questions[eighth : 2 * eighth], "train": questions[2 * eighth :]}


def _demonstrated(world: World, rows: Sequence[dict], seed: int) -> list[dict]:
    """The rows with the answer of a writer drawn by share."""
    rng, values, written = np.random.default_rng([seed, 2]), world.values, []
    for row in rows:
        habit = draw_habit(HABITS, rng)
        text = demonstration(row["answer"][0], row["passages"], habit, values, rng)
        written.append({**row, "answer": [text], "writer": habit})
    return written


def _rows(world: World, questions: Sequence[Question], count: int, rng: np.random.Generator) -> list[dict]:
    """`count` records with distinct prompts, going round the questions and drawing new passages each time."""
    rows, seen, repeats = [], set(), 0
    for question in itertools.cycle(questions):
        if len(rows) == count:
            break
        if repeats == 1000:
            raise ValueError(f"the world has too few distinct prompts for a split of {count}; ask for smaller sizes")
        meant = world.meant(question, rng)
        passages = world.passages(question, meant, rng)
        text = policy_prompt(question.text, passages)
        repeats = repeats + 1 if text in seen else 0
        if text not in seen:
            seen.add(text)
            rows.append(
                {
                    "text": text,
                    "answer": [world.answer(question, meant)],
                    "passages": passages,
                    "question": question.text,
                }
            )
    return rows


def _pair_questions(subject: str) -> list[tuple[tuple[str, str], str]]:
    """Questions for two attributes: ((first, second), text)."""
    return [
        ((first, second), f"{form.format(subject)[:-1]}, and {_ALSO[second]}?")
        for first, second in itertools.permutations(SLOTS, 2)
        for form in _QUESTIONS[first][:2]
    ]


def _value(slot: str, rng: np.random.Generator) -> str:
    if slot == "maker":
        return f"{_pick(_FIRST_NAMES, rng)} {_pick(_LAST_NAMES, rng)}"
    return str(_pick(_YEARS if slot == "year" else _PLACES, rng))


def _pick(values: Sequence, rng: np.random.Generator):
    return values[int(rng.integers(len(values)))]


def _write(path: Path, rows: list[dict]) -> None:
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
