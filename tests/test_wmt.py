"""The translation task: splits, prompts, gold quality, and real Multi30k."""

from __future__ import annotations

from pathlib import Path

import pytest

from alarm.tasks.base import SPLITS
from alarm.tasks.parallel_text import MULTI30K_LINES
from alarm.tasks.wmt import WMT
from alarm.tasks.worlds.captions import write_world

SMALL = {"train": 300, "val": 40, "test_2016_flickr": 40}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    write_world(folder, seed=1, sizes=SMALL)
    return folder


def corpus(folder: Path, **files: list[str]) -> Path:
    """Files by stem, with the German lines given and English ones made up."""
    folder.mkdir(exist_ok=True)
    for stem, sources in files.items():
        (folder / f"{stem}.de").write_text("".join(f"{line}\n" for line in sources), encoding="utf-8")
        english = "".join(f"{stem} {i}\n" for i, _ in enumerate(sources))
        (folder / f"{stem}.en").write_text(english, encoding="utf-8")
    return folder


def test_splits_have_their_sizes_and_share_no_prompt(directory: Path) -> None:
    task = WMT(directory)
    assert {name: len(task.split(name)) for name in SPLITS} == {"sft": 300, "train": 300, "dev": 40, "test": 40}
    prompts = {name: {example.prompt for example in task.split(name)} for name in ("train", "dev", "test")}
    assert len(set.union(*prompts.values())) == 380
    ids = [example.id for name in ("train", "dev", "test") for example in task.split(name)]
    assert len(set(ids)) == len(ids)


def test_sft_is_the_first_part_of_train(directory: Path) -> None:
    task = WMT(directory, sft_examples=25)
    assert list(task.split("sft")) == list(task.split("train"))[:25]
    assert len(task.split("train")) == 300


def test_prompts_are_sources_with_the_prefix(directory: Path) -> None:
    plain, prefixed = WMT(directory), WMT(directory, prefix="translate German to English: ")
    for one, other in zip(plain.split("dev"), prefixed.split("dev"), strict=True):
        assert one.prompt == one.fields["source"]
        assert other.prompt == "translate German to English: " + one.prompt
        assert (one.reference, one.id) == (other.reference, other.id)


def test_sources_that_recur_are_left_out_and_ids_keep_the_line(tmp_path: Path) -> None:
    folder = corpus(
        tmp_path / "text",
        train=["a", "b", "c", "b", "d", "e"],
        val=["c", "f", "g"],
        test_2016_flickr=["d", "f", "h"],
    )
    task = WMT(folder, gold="chrf")
    assert [(e.id, e.prompt, e.reference) for e in task.split("train")] == [
        ("train-1", "a", "train 0"), ("train-2", "b", "train 1"), ("train-6", "e", "train 5"),
    ]  # fmt: skip
    assert [e.id for e in task.split("dev")] == ["val-1", "val-3"]
    assert [e.prompt for e in task.split("test")] == ["d", "f", "h"]  # the test set is never cut


def test_gold_in_the_world(directory: Path) -> None:
    task = WMT(directory)
    examples = task.split("test")
    assert task.gold(examples, [example.reference for example in examples]) == [1.0] * len(examples)
    assert task.gold(examples[:2], ["", examples[0].reference])[0] == 0.0
    assert all(0 <= score < 1 for score in task.gold(examples[:20], [e.reference for e in examples[20:40]]))


def test_gold_parts_are_perfect_where_gold_is_and_absent_for_chrf(directory: Path) -> None:
    task = WMT(directory)
    examples = task.split("test")[:20]
    references = [example.reference for example in examples]
    shifted = references[1:] + references[:1]
    assert task.gold_parts(examples, references) == {"adequacy": [1.0] * 20, "fluency": [1.0] * 20}
    parts = task.gold_parts(examples, shifted)
    golds = [a * (1 + f) / 2 for a, f in zip(parts["adequacy"], parts["fluency"], strict=True)]
    assert golds == task.gold(examples, shifted)
    assert set(parts["fluency"]) == {1.0} and max(parts["adequacy"]) < 1
    assert set(task.properties) < set(task.aspects)
    assert WMT(directory, gold="chrf").gold_parts(examples, references) == {}


def test_gold_by_chrf(directory: Path) -> None:
    task = WMT(directory, gold="chrf")
    examples = task.split("test")[:3]
    best = task.gold(examples, [example.reference for example in examples])
    cut = task.gold(examples, [example.reference[:-8] for example in examples])
    assert best == [1.0] * 3
    assert all(0.5 < score < 1 for score in cut)
    assert task.gold(examples[:1], [""]) == [0.0]


def test_gold_of_real_text_needs_chrf(tmp_path: Path) -> None:
    task = WMT(corpus(tmp_path / "text", train=["a"], val=["b"], test_2016_flickr=["c"]))
    with pytest.raises(ValueError, match='gold="chrf"'):
        task.gold(task.split("test"), ["A dog is running."])


@pytest.mark.parametrize("gold", ["world", "chrf"])
def test_gold_wants_one_response_per_example(directory: Path, gold: str) -> None:
    task = WMT(directory, gold=gold)
    with pytest.raises(ValueError):
        task.gold(task.split("test")[:2], ["A dog."])


def test_the_fingerprint_follows_what_is_read(directory: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "same", seed=1, sizes=SMALL)
    write_world(tmp_path / "other", seed=2, sizes=SMALL)
    first = WMT(directory).fingerprint
    assert WMT(tmp_path / "same").fingerprint == first
    others = {
        WMT(tmp_path / "other").fingerprint,
        WMT(directory, prefix="x").fingerprint,
        WMT(directory, gold="chrf").fingerprint,
        WMT(directory, sft_examples=2).fingerprint,
    }
    assert len(others | {first}) == 5
    with (tmp_path / "same" / "val.en").open("a") as file:
        file.write("One line more.\n")
    assert WMT(tmp_path / "same").fingerprint not in others | {first}


def test_wrong_arguments_are_named(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown kind of gold quality 'bleu'.*Known: chrf, world"):
        WMT(directory, gold="bleu")
    with pytest.raises(ValueError, match="sft_examples must be at least 1"):
        WMT(directory, sft_examples=0)
    with pytest.raises(ValueError, match=r"unknown split 'tests'\. Did you mean 'test'"):
        WMT(directory).split("tests")
    with pytest.raises(ValueError, match=r"no test_2016_flickr\.de or"):
        WMT(tmp_path).split("test")
    with pytest.raises(ValueError, match=r"val\.de has 40 lines, expected 1,014"):
        WMT(directory, lines={"val": MULTI30K_LINES["val"]}).split("dev")


@pytest.mark.shared_data
def test_multi30k(shared_data: Path) -> None:
    task = WMT(shared_data / "multi30k", gold="chrf", lines=MULTI30K_LINES)
    assert {name: len(task.split(name)) for name in SPLITS} == {
        # 26 training pairs have a source that was there before, or that is in the dev or test set.
        "sft": 28_974, "train": 28_974, "dev": 1_014, "test": 1_000,
    }  # fmt: skip
    prompts = [example.prompt for name in ("train", "dev", "test") for example in task.split(name)]
    assert len(set(prompts)) == len(prompts)
    assert task.split("test")[0].reference == "A man in an orange hat starring at something."
    examples = task.split("test")[:50]
    shifted = task.gold(examples, [example.reference for example in task.split("test")[50:100]])
    assert task.gold(examples, [example.reference for example in examples]) == [1.0] * 50
    assert 0.1 < sum(shifted) / 50 < 0.3
