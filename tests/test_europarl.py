"""Europarl in the form of its published Parquet files: cut, split as the authors did, read as a translation task."""

from __future__ import annotations

import pytest
from datasets import Dataset, Features, Translation, Value

from alarm.settings import DataSettings
from alarm.tasks.europarl import STEMS, configuration, load_pairs, local_files, write_splits
from alarm.tasks.wmt import WMT

PAIRS = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two Parquet files named and typed as in the repository, with a pair that alignment left without a side."""
    root = tmp_path_factory.mktemp("data")
    rows = [{"en": f"The sitting number {i} is open.", "es": f"Se abre la sesión  número {i}."} for i in range(PAIRS)]
    rows[7] = {"en": "", "es": "Gracias."}
    features = Features({"translation": Translation(languages=["en", "es"])})
    place = root / "europarl" / "en-es"
    place.mkdir(parents=True)
    for part, half in enumerate((rows[:120], rows[120:])):
        data = Dataset.from_dict({"translation": half}, features=features)
        data.to_parquet(str(place / f"train-0000{part}-of-00002.parquet"))
    return root


def test_the_pair_is_named_in_alphabetical_order():
    assert configuration("es") == "en-es" and configuration("de") == "de-en"


def test_the_first_pairs_are_taken_in_the_order_of_the_files(folder):
    assert [path.name[:11] for path in local_files(folder, "es")] == ["train-00000", "train-00001"]
    pairs = load_pairs("es", folder=folder, pairs=150)
    assert len(pairs) == 150
    assert pairs[149]["translation"]["en"] == "The sitting number 149 is open."


def test_splits_are_those_of_the_authors_two_calls(folder, tmp_path):
    settings = DataSettings(corpus="europarl", source_language="es", pairs=150)
    pairs = load_pairs("es", folder=folder, pairs=150)
    counts = write_splits(pairs, tmp_path, settings)
    assert sum(counts.values()) == 149, "the pair without a side is left out"
    first = pairs.train_test_split(test_size=0.3, seed=42)
    second = first["train"].train_test_split(test_size=0.1, seed=42)
    for stem, split in (("test", first["test"]), ("val", second["test"]), ("train", second["train"])):
        expected = [row["en"] for row in split["translation"] if row["en"]]
        assert (tmp_path / f"{stem}.en").read_text().splitlines() == expected


def test_the_task_reads_them_with_its_prompt_and_without_overlap(folder, tmp_path):
    settings = DataSettings(corpus="europarl", source_language="es", pairs=PAIRS)
    counts = write_splits(load_pairs("es", folder=folder, pairs=PAIRS), tmp_path, settings)
    task = WMT(tmp_path, gold="chrf", stems=STEMS, source="es", prefix="translate Spanish to English: ")
    assert [len(task.split(name)) for name in ("train", "dev", "test")] == [*counts.values()]
    example = task.split("test")[0]
    assert example.prompt.startswith("translate Spanish to English: Se abre la sesión número ")
    assert task.gold([example], [example.reference]) == [1.0]
    sources = [example.fields["source"] for name in ("train", "dev", "test") for example in task.split(name)]
    assert len(sources) == len(set(sources)) == PAIRS - 1


def test_too_few_pairs_are_refused(folder):
    with pytest.raises(ValueError, match="has 200 pairs here, expected 100,000"):
        load_pairs("es", folder=folder, pairs=100_000)


def test_without_files_and_hub_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"cannot be loaded .*put the Parquet files of .* into .*europarl/de-en"):
        load_pairs("de", folder=tmp_path, pairs=10)


def test_another_data_set_is_refused(tmp_path):
    data = Dataset.from_dict({"text": ["a"] * 10}, features=Features({"text": Value("string")}))
    with pytest.raises(ValueError, match="found the fields text"):
        write_splits(data, tmp_path, DataSettings(source_language="es"))
