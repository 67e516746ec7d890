"""Europarl from its published data set, cut and split as the authors of arXiv:2403.06754 did, as parallel line files.

Source: section 4.2 of the paper and the released code: the first 100,000 pairs of Spanish and English; 30 % of them are
the test set, 10 % of the rest the development set, both drawn by `datasets` with seed 42.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alarm.settings import DataSettings

if TYPE_CHECKING:
    from datasets import Dataset

REPOSITORY = "Helsinki-NLP/europarl"
REVISION = "49c03781cf3c5ae505523a187743de69e4cc6f2b"
"""The commit that holds the Parquet files; the authors loaded the same data through a script, as `opus/europarl`."""
STEMS = {"train": "train", "dev": "val", "test": "test"}
TARGET = "en"


def configuration(source: str) -> str:
    """The data set's name of a language pair, in alphabetical order: `en-es`, `de-en`."""
    return "-".join(sorted((source, TARGET)))


def local_files(folder: Path | None, source: str) -> list[Path]:
    """The pair's Parquet files below `folder`/europarl, as the repository lays them out; empty where there are none."""
    return sorted((folder / "europarl" / configuration(source)).glob("train-*.parquet")) if folder else []


def load_pairs(source: str, *, folder: Path | None, pairs: int | None) -> Dataset:
    """The first pairs of the corpus, from Parquet files in `folder` or from the hub.

    Raises:
        ValueError: neither files nor the hub can be reached, or there are fewer pairs than asked for.
    """
    from datasets import load_dataset

    files = local_files(folder, source)
    try:
        if files:
            data = load_dataset("parquet", data_files=[str(path) for path in files], split="train")
        else:
            data = load_dataset(REPOSITORY, configuration(source), revision=REVISION, split="train")
    except Exception as error:
        where = f"{folder}/europarl/{configuration(source)}" if folder else "a folder named by --data"
        raise ValueError(
            f"Europarl {configuration(source)} cannot be loaded ({str(error).splitlines()[0]}); allow access to the "
            f"hub, or put the Parquet files of {REPOSITORY} into {where}"
        ) from error
    if pairs is None:
        return data
    if len(data) < pairs:
        raise ValueError(f"Europarl {configuration(source)} has {len(data):,} pairs here, expected {pairs:,} at least")
    return data.select(range(pairs))


def write_splits(data: Dataset, directory: Path, settings: DataSettings) -> dict[str, int]:
    """Split the pairs and write `train`, `val` and `test`, one file per language; returns the number of pairs of each.

    A pair of which one side is empty, as alignment sometimes leaves, belongs to no line of text and is left out.

    Raises:
        ValueError: the data set has other fields than the published one.
    """
    source = settings.source_language
    if "translation" not in data.column_names or {source, TARGET} - set(data[0]["translation"]):
        raise ValueError(
            f"Europarl has a field `translation` with {source} and {TARGET}; found the fields "
            f"{', '.join(data.column_names)}"
        )
    held_out = data.train_test_split(test_size=settings.test_share, seed=settings.split_seed)
    rest = held_out["train"].train_test_split(test_size=settings.dev_share, seed=settings.split_seed)
    splits = {"train": rest["train"], "dev": rest["test"], "test": held_out["test"]}
    directory.mkdir(parents=True, exist_ok=True)
    counts = {}
    for name, split in splits.items():
        rows = [(row[source], row[TARGET]) for row in split["translation"]]
        lines = [tuple(" ".join(side.split()) for side in row) for row in rows]
        kept = [row for row in lines if all(row)]
        for language, side in zip((source, TARGET), zip(*kept, strict=True), strict=True):
            (directory / f"{STEMS[name]}.{language}").write_text("".join(f"{line}\n" for line in side), "utf-8")
        counts[name] = len(kept)
    return counts
