"""QA-Feedback's files fetched over HTTP from a real server: counted, with checksums, every failure by name."""

from __future__ import annotations

import functools
import http.server
import json
import threading

import pytest

from alarm.files import read_json, sha256_of
from alarm.tasks.qa_feedback_files import ADDRESS, CHECKSUMS, COMMIT, RECORDS, fetch

COUNTS = {"train": 3, "dev": None}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Nothing on stderr."""


@pytest.fixture
def served(tmp_path):
    """A folder and the address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_files_are_fetched_counted_and_their_checksums_written_down(served, tmp_path):
    folder, address = served
    for name, rows in {"train": [1, 2, 3], "dev": [1]}.items():
        (folder / f"{name}.json").write_text(json.dumps(rows))
    found = fetch(tmp_path / "here", address=address, records=COUNTS)
    assert found == {f"{name}.json": sha256_of(folder / f"{name}.json") for name in COUNTS}
    assert read_json(tmp_path / "here" / CHECKSUMS) == found


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, r"train\.json of QA-Feedback cannot be fetched .*404.*--data"),
        ("[1, 2", r"train\.json of QA-Feedback is not whole"),
        ("[1, 2]", r"train\.json of QA-Feedback has 2 records, expected 3"),
        ("{}", r"train\.json of QA-Feedback has no array of records"),
    ],
)
def test_what_is_wrong_is_named(served, tmp_path, content, problem):
    folder, address = served
    if content is not None:
        (folder / "train.json").write_text(content)
    with pytest.raises(ValueError, match=problem):
        fetch(tmp_path / "here", address=address, records=COUNTS)


def test_the_address_names_one_commit_and_the_published_counts():
    assert COMMIT in ADDRESS and len(COMMIT) == 40
    assert (RECORDS["train"], RECORDS["train_1k"], RECORDS["dev"], RECORDS["test"]) == (3853, 1000, 500, 948)
