"""QA-Feedback's files from their repository: at one commit, counted, with checksums that later readers compare."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Mapping
from pathlib import Path

from alarm.files import read_json, sha256_of, write_json

COMMIT = "a1469d4eba0b3754bcb343beb88f0aca24bf4848"
ADDRESS = f"https://raw.githubusercontent.com/allenai/FineGrainedRLHF/{COMMIT}/tasks/qa_feedback/data"
RECORDS: Mapping[str, int | None] = {
    "train": 3853,
    "train_1k": 1000,
    "dev": 500,
    "test": 948,
    "train_feedback": None,
    "dev_feedback": 500,
}
"""Records per file as published; None where no count is stated."""
CHECKSUMS = "checksums.json"
STORED, STORED_INPUTS = "qa_feedback", {"commit": COMMIT}
"""Kind and inputs of the artifact that holds the files in a store: whatever code fetches a commit, it is the same."""


def fetch(directory: Path, *, address: str = ADDRESS, records: Mapping[str, int | None] = RECORDS) -> dict[str, str]:
    """Download all files into `directory`, count their records, and write their sha256 into `checksums.json`.

    A commit's files never change, so a checksum that differs between two machines means a damaged download.

    Returns:
        File name to sha256.
    Raises:
        ValueError: a file cannot be had, is no JSON array or has another number of records; the message names it.
    """
    from torch.hub import download_url_to_file

    directory.mkdir(parents=True, exist_ok=True)
    found = {}
    for stem, count in records.items():
        path = directory / f"{stem}.json"
        try:
            download_url_to_file(f"{address}/{path.name}", str(path), progress=False)
        except (urllib.error.URLError, OSError) as error:
            raise ValueError(
                f"{path.name} of QA-Feedback cannot be fetched ({error}); allow access to {address.split('/')[2]}, or "
                "name a folder with the files by --data"
            ) from error
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path.name} of QA-Feedback is not whole ({error}); fetch it again") from error
        if not isinstance(rows, list) or (count is not None and len(rows) != count):
            what = f"{len(rows):,} records" if isinstance(rows, list) else "no array of records"
            raise ValueError(f"{path.name} of QA-Feedback has {what}, expected {count or 'some'}; fetch it again")
        found[path.name] = sha256_of(path)
    write_json(directory / CHECKSUMS, found)
    return found


def verify(directory: Path) -> None:
    """Compare the files of a folder with the checksums that `fetch` left there; without them nothing is known.

    Raises:
        ValueError: a file has changed since; the message names it.
    """
    if not (directory / CHECKSUMS).is_file():
        return
    for name, expected in read_json(directory / CHECKSUMS).items():
        path = directory / name
        if path.is_file() and sha256_of(path) != expected:
            raise ValueError(
                f"{path} is not the file that was fetched: its sha256 differs from that in {CHECKSUMS}; fetch it "
                f"again, or delete {CHECKSUMS} if it was changed on purpose"
            )
