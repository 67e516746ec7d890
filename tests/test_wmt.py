"""The translation task over small files, the generated world and Multi30k."""

import pytest

from alarm.tasks.parallel_text import MULTI30K_LINES
from alarm.tasks.wmt import WMT
from alarm.tasks.worlds.captions import write_world

FILES = {
    "train": [("eins", "one"), ("zwei", "two"), ("eins", "one again"), ("drei", "three"), ("vier", "four")],
    "val": [("drei", "three"), ("fünf", "five")],
    "test_2016_flickr": [("fünf", "five"), ("sechs", "six")],
}


@pytest.fixture
def folder(tmp_path):
    for stem, pairs in FILES.items():
        for language, side in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
            (tmp_path / f"{stem}.{language}").write_text("".join(f"{line}\n" for line in side), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, seed=3, sizes={"train": 60, "val": 20, "test_2016_flickr": 20})
    return folder


def test_no_prompt_stands_in_two_splits_or_twice_in_one(folder):
    task = WMT(folder, gold="chrf")
    assert [example.prompt for example in task.split("train")] == ["eins", "zwei", "vier"]
    assert [example.prompt for example in task.split("dev")] == ["drei"]
    assert [example.prompt for example in task.split("test")] == ["fünf", "sechs"]
    assert [example.id for example in task.split("train")] == ["train-1", "train-2", "train-5"]


def test_sft_is_the_first_part_of_train(folder):
    assert WMT(folder).split("sft") == WMT(folder).split("train")
    assert [example.id for example in WMT(folder, sft_examples=2).split("sft")] == ["train-1", "train-2"]


def test_a_prefix_belongs_to_the_prompt_only(folder):
    example = WMT(folder, prefix="translate German to English: ").split("test")[1]
    assert example.prompt == "translate German to English: sechs"
    assert (example.reference, dict(example.fields)) == ("six", {"source": "sechs"})


def test_gold_by_chrf(folder):
    task = WMT(folder, gold="chrf")
    examples = task.split("test")
    assert task.gold(examples, ["five", ""]) == [1.0, 0.0]
    assert task.gold_name == "sentence chrF / 100"


def test_gold_of_the_world_is_one_for_references_and_zero_for_nothing(world):
    task = WMT(world)
    examples = task.split("test")
    assert task.gold(examples, [example.reference for example in examples]) == [1.0] * 20
    assert task.gold(examples[:1], [""]) == [0.0]
    with pytest.raises(ValueError):
        task.gold(examples, [""])


def test_world_gold_of_real_text_is_an_error(folder):
    task = WMT(folder)
    with pytest.raises(ValueError, match='use gold="chrf"'):
        task.gold(task.split("test"), ["five", "six"])


def test_the_fingerprint_sees_data_and_settings(folder):
    fingerprints = {
        WMT(folder).fingerprint,
        WMT(folder, prefix="x").fingerprint,
        WMT(folder, sft_examples=1).fingerprint,
        WMT(folder, gold="chrf").fingerprint,
    }
    assert WMT(folder).fingerprint in fingerprints
    (folder / "val.en").write_text("three\nsix\n")
    assert len(fingerprints | {WMT(folder).fingerprint}) == 5


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"gold": "chrff"}, "Did you mean 'chrf'"), ({"sft_examples": 0}, "at least 1")],
)
def test_bad_settings_are_named(folder, settings, match):
    with pytest.raises(ValueError, match=match):
        WMT(folder, **settings)


def test_unknown_splits_and_short_files_are_named(folder):
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        WMT(folder).split("valid")
    with pytest.raises(ValueError, match=r"test_2016_flickr\.de has 2 lines, expected 1,000"):
        WMT(folder, lines=MULTI30K_LINES).split("test")


@pytest.mark.shared_data
def test_multi30k(shared_data):
    task = WMT(shared_data / "multi30k", gold="chrf", lines=MULTI30K_LINES)
    # 26 of the 29,000 training sources are copies of an earlier one or stand in val or test.
    assert [len(task.split(name)) for name in ("sft", "train", "dev", "test")] == [28_974, 28_974, 1_014, 1_000]
    first = task.split("train")[0]
    assert first.prompt == "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche."
    assert first.reference == "Two young, White males are outside near many bushes."
    prompts = [example.prompt for name in ("train", "dev", "test") for example in task.split(name)]
    assert len(prompts) == len(set(prompts))
