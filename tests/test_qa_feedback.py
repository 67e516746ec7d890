"""Reading and writing QA-Feedback's files."""

import copy
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from alarm.tasks.qa_feedback import Feedback, policy_prompt, read_feedback, read_questions, write_feedback

QUESTION = {
    "text": "question: Who? context: wikipage: A text: B.",
    "answer": ["Ann."],
    "passages": [{"content": "B.", "wikipage": "A"}],
    "question": "Who?",
}
FEEDBACK = {
    "question": "Who?",
    "passages": [["A", "One.", "Two."], ["C", "Three."]],
    "gold": "Ann.",
    "prediction 1": "Ann won it twice.",
    "prediction 2": "Bob.",
    "prediction 3": "",
    "prediction 4": "Né à Zürich.",
    "feedback": {
        "errors": [{"error type": "Wrong-Grounding", "explanation": "{}", "start": 4, "end": 10}],
        "missing-info": [{"error type": "Missing-Answer", "passage_id": 2, "sentence_id": [0, 1]}],
        "corrected-prediction": "Ann.",
    },
    "preference": [1, 0, 2, 1, 1, 0],
}


def changed(path: tuple, value: object) -> dict:
    """FEEDBACK with the entry at `path` replaced, or removed if the value is `...`."""
    record = copy.deepcopy(FEEDBACK)
    target = record
    for key in path[:-1]:
        target = target[key]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return record


def test_prompt_form() -> None:
    passages = [{"wikipage": "A", "content": "One."}, {"wikipage": "B", "content": "Two."}]
    assert policy_prompt("Who?", passages) == "question: Who? context: wikipage: A text: One. | wikipage: B text: Two."
    assert policy_prompt("Who?", []) == "question: Who? context: "


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_arrays_and_lines_zipped_or_not_read_alike(tmp_path: Path, lines: bool, zipped: bool) -> None:
    text = f"{json.dumps(QUESTION)}\n\n{json.dumps(QUESTION)}\n" if lines else json.dumps([QUESTION, QUESTION])
    path = tmp_path / f"dev.{'jsonl' if lines else 'json'}{'.gz' if zipped else ''}"
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    first, second = read_questions(path)
    assert first == second
    assert (first.question, first.answer, first.passages) == ("Who?", "Ann.", ({"wikipage": "A", "content": "B."},))
    assert first.prompt == QUESTION["text"]


def test_feedback_survives_writing(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps([FEEDBACK]), encoding="utf-8")
    records = read_feedback(tmp_path / "in.json")
    write_feedback(tmp_path / "out.json", records)
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == [FEEDBACK]
    assert read_feedback(tmp_path / "out.json") == records
    assert records[0].prompt == "question: Who? context: wikipage: A text: One. Two. | wikipage: C text: Three."


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("question",), ..., "field 'question' is missing"),
        (("prediction 3",), 3, "field 'prediction 3' is int where str"),
        (("preference",), [1, 2, 0], "field 'preference' is [1, 2, 0]"),
        (("preference",), [1, 2, 0, 1, 2, 3], "field 'preference'"),
        (("passages", 0), [], "field 'passages[0]'"),
        (("passages", 1), "text", "field 'passages' holds str"),
        (("feedback",), ..., "field 'feedback' is missing"),
        (("feedback", "corrected-prediction"), None, "field 'feedback.corrected-prediction' is NoneType"),
        (("feedback", "errors", 0, "end"), 18, "field 'feedback.errors[0].end' makes the span 4 to 18"),
        (("feedback", "errors", 0, "start"), 10, "field 'feedback.errors[0].end'"),
        (("feedback", "errors", 0, "start"), True, "field 'feedback.errors[0].start' is bool"),
        (("feedback", "errors", 0, "error type"), "Rude", "field 'feedback.errors[0].error type' is 'Rude'"),
        (("feedback", "missing-info", 0, "passage_id"), 3, "field 'feedback.missing-info[0].passage_id' is 3"),
        (("feedback", "missing-info", 0, "sentence_id"), [2], "field 'feedback.missing-info[0].sentence_id'"),
        (("feedback", "missing-info", 0), [], "field 'feedback.missing-info[0]' is list"),
    ],
)
def test_malformed_feedback_is_named(tmp_path: Path, path: tuple, value: object, said: str) -> None:
    lines = tmp_path / "dev_feedback.jsonl"
    lines.write_text(f"{json.dumps(FEEDBACK)}\n\n{json.dumps(changed(path, value))}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"dev_feedback.jsonl, line 3: ") as caught:
        read_feedback(lines)
    assert said in str(caught.value)
    array = tmp_path / "dev_feedback.json"
    array.write_text(json.dumps([FEEDBACK, changed(path, value)]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"dev_feedback.json, record 1: "):
        read_feedback(array)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b"[{}", "not valid JSON"),
        ("a.json", b'{"a": 1}', "not a JSON array"),
        ("a.json", b"[3]", "record 0: the record is int"),
        ("a.jsonl", b'{"answer": []}\n', "line 1: field 'answer' is empty"),
        ("a.json.gz", gzip.compress(b"[]", mtime=0)[:-6], "cannot be read"),
        ("a.json", b"\xff\xfe", "cannot be read"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        read_questions(tmp_path / name)
    assert said in str(caught.value)


@pytest.fixture(scope="module")
def real_feedback(shared_data: Path) -> list[Feedback]:
    return read_feedback(shared_data / "qa_feedback/dev_feedback.jsonl.gz")


@pytest.mark.shared_data
def test_real_feedback_has_the_published_counts(real_feedback: list[Feedback]) -> None:
    assert len(real_feedback) == 400
    errors = Counter(error.type for record in real_feedback for error in record.errors)
    assert errors == {
        "Irrelevant": 736, "Wrong-Grounding": 131, "Unverifiable": 127, "Redundant": 109, "Incoherent": 13,
    }  # fmt: skip
    missing = Counter(info.type for record in real_feedback for info in record.missing)
    assert missing == {"Missing-Minor-Auxiliary": 248, "Missing-Major-Auxiliary": 227, "Missing-Answer": 203}
    assert Counter(p for record in real_feedback for p in record.preference) == {0: 302, 1: 1243, 2: 855}


@pytest.mark.shared_data
def test_real_feedback_survives_writing(real_feedback: list[Feedback], tmp_path: Path) -> None:
    write_feedback(tmp_path / "again.json", real_feedback)
    assert read_feedback(tmp_path / "again.json") == real_feedback


@pytest.mark.shared_data
def test_prompts_are_the_published_texts(real_feedback: list[Feedback], shared_data: Path) -> None:
    """Both files give one prompt form: that of the published `text`. Passages differ in white space, and in seven
    questions beyond that."""
    path = shared_data / "qa_feedback/dev.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    questions = read_questions(path)
    assert [question.prompt for question in questions] == texts
    from_feedback = {record.question: record.prompt.split() for record in real_feedback}
    assert sum(from_feedback[question.question] == question.prompt.split() for question in questions) == 393
