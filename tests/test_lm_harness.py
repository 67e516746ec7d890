"""lm-eval on our policies: the same responses as a greedy rollout, sacreBLEU's scores, and stock tasks by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from alarm.__main__ import main
from alarm.evaluation.lm_harness.harness import evaluate_stock_tasks, evaluate_task, forbidden_tokens, task_manager
from alarm.evaluation.lm_harness.prompts import cut_prompts
from alarm.evaluation.translation import corpus_scores
from alarm.experiment.matrix import RunSpec
from alarm.experiment.run import Run
from alarm.ppo.policy import Policy
from alarm.ppo.rollout import rollout
from alarm.records import PromptRow
from alarm.settings import PolicySettings
from tests.micro import micro_preset
from tests.tiny_models import WORDS, checkpoint, tokenizer

LENGTHS = {"max_prompt_tokens": 16, "max_new_tokens": 12}


@pytest.fixture(scope="module", params=["t5", "gpt2"])
def folder(request, tmp_path_factory) -> Path:
    """An untrained network whose weights are large enough that it says something else to every prompt."""
    directory = checkpoint(tmp_path_factory.mktemp(request.param), request.param, seed=3)
    tokenizer().save_pretrained(directory)
    policy = Policy.load(directory, PolicySettings())
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.4, generator=generator)
    policy.save(directory)
    return directory


@pytest.fixture(scope="module")
def rows() -> list[PromptRow]:
    """Prompts of 3 to 14 words."""
    draws = torch.randint(len(WORDS), (40, 14), generator=torch.Generator().manual_seed(0))
    texts = [" ".join(WORDS[i] for i in row[: 3 + n % 12]) for n, row in enumerate(draws)]
    return [PromptRow(f"row-{n}", text, f"the {text.split()[0]} is red .") for n, text in enumerate(texts)]


def greedy(folder: Path, prompts: list[str], **lengths: int):
    return rollout(Policy.load(folder, PolicySettings()), prompts, generator=None, **(LENGTHS | lengths))


def responses(result) -> list[str]:
    return [sample["response"] for sample in result.samples]


def test_responses_are_those_of_a_greedy_rollout(folder, rows):
    """Ids that are no text are likely here, and not every response ends by itself."""
    own = greedy(folder, [row.prompt for row in rows])
    result = evaluate_task(folder, "wmt", rows, bootstrap=0, **LENGTHS)
    assert responses(result) == own.responses
    assert [sample["id"] for sample in result.samples] == [row.id for row in rows]
    assert [sample["prompt"] for sample in result.samples] == [row.prompt for row in rows]
    assert len(set(own.responses)) > 20 and own.lengths.min() < own.lengths.max() == LENGTHS["max_new_tokens"]


def test_the_batch_changes_nothing(folder, rows):
    one = evaluate_task(folder, "wmt", rows[:8], bootstrap=0, batch_size=1, **LENGTHS)
    assert responses(one) == responses(evaluate_task(folder, "wmt", rows[:8], bootstrap=0, batch_size=8, **LENGTHS))


def test_long_prompts_are_cut_as_rollouts_cut_them(folder, rows):
    lengths = {"max_prompt_tokens": 6}
    own = greedy(folder, [row.prompt for row in rows], **lengths)
    result = evaluate_task(folder, "wmt", rows, bootstrap=0, **(LENGTHS | lengths))
    assert own.truncated_prompts == result.facts["cut_prompts"] == sum(len(row.prompt.split()) > 6 for row in rows) > 20
    assert responses(result) == own.responses


@pytest.mark.parametrize(("task", "names"), [("wmt", ["bleu", "chrf", "ter"]), ("long_form_qa", ["bleu", "chrf"])])
def test_scores_are_sacrebleus_on_the_same_responses(folder, rows, task, names):
    result = evaluate_task(folder, task, rows, bootstrap=20, **LENGTHS)
    expected = corpus_scores(responses(result), [row.reference for row in rows])
    assert [metric.name for metric in result.metrics] == names
    for metric in result.metrics:
        assert metric.value == expected[metric.name].value
        assert metric.higher_is_better is expected[metric.name].higher_is_better
        assert metric.stderr > 0
    assert result.examples == {f"alarm_{task}": 40} and result.facts["task_versions"] == {f"alarm_{task}": 1.0}
    assert [metric.stderr for metric in evaluate_task(folder, task, rows[:4], bootstrap=0, **LENGTHS).metrics] == [
        None for _ in names
    ]


@pytest.mark.parametrize("task", ["wmt", "long_form_qa"])
def test_task_files_are_lm_evals_own(folder, rows, task, tmp_path, monkeypatch):
    """They run by name too, as with lm-eval's command, on a file of rows in the working folder."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    lines = [json.dumps({"prompt": row.prompt, "reference": row.reference}) + "\n" for row in rows[:4]]
    (tmp_path / f"{task}.jsonl").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    results = lm_eval.simple_evaluate(
        HFLM(str(folder), device="cpu", batch_size=4),
        tasks=[f"alarm_{task}"],
        task_manager=task_manager(defaults=False),
        gen_kwargs={"max_gen_toks": 8},
        bootstrap_iters=0,
    )
    assert results["n-samples"][f"alarm_{task}"]["effective"] == 4
    assert results["results"][f"alarm_{task}"]["chrf,none"] > 0


def test_references_in_brackets_stay_text(folder):
    rows = [PromptRow(str(i), "the cat", text) for i, text in enumerate(("['a', 'cat']", "12", "{{ prompt }}"))]
    result = evaluate_task(folder, "wmt", rows, bootstrap=0, **LENGTHS)
    assert [sample["reference"] for sample in result.samples] == [row.reference for row in rows]
    assert result.metrics[1].value == corpus_scores(responses(result), [row.reference for row in rows])["chrf"].value


def test_a_cut_prompt_fits_and_ends_with_a_token():
    words = tokenizer()
    assert cut_prompts(words, ["the cat is red", "the cat"], max_tokens=2) == ["the cat", "the cat"]
    assert forbidden_tokens(words, 50) == [0, 2, *range(len(words), 50)]


def test_what_cannot_be_evaluated_is_named(folder, rows, tmp_path):
    with pytest.raises(ValueError, match=r"unknown lm-eval task of this suite 'wnt'. Did you mean 'wmt'"):
        evaluate_task(folder, "wnt", rows, **LENGTHS)
    with pytest.raises(ValueError, match="no prompts of wmt"):
        evaluate_task(folder, "wmt", [], **LENGTHS)
    with pytest.raises(ValueError, match=rf"{tmp_path} is no language model that can be loaded \(.*\)") as raised:
        evaluate_task(tmp_path, "wmt", rows, **LENGTHS)
    assert "\n" not in str(raised.value)


# lm-eval's own tasks: data sets by name are found in the working folder first, so that a real stock task runs offline.


@pytest.fixture
def stock_data(tmp_path, monkeypatch):
    choices = {"label": ["A", "B"], "text": ["red", "blue"]}
    questions = [{"id": str(i), "question": f"the {WORDS[i]}", "choices": choices, "answerKey": "A"} for i in range(12)]
    for name, configuration, documents in (
        ("allenai/ai2_arc", "ARC-Easy", questions),
        ("EleutherAI/wikitext_document_level", "wikitext-2-raw-v1", [{"page": "the cat is red ."}]),
    ):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        files = ""
        for split in ("train", "validation", "test"):
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
            files += f"  - split: {split}\n    path: {split}.jsonl\n"
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: {configuration}\n  data_files:\n{files}---\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_stock_tasks_run_by_name(folder, stock_data):
    result = evaluate_stock_tasks(folder, ["arc_easy"], limit=8, bootstrap=10)
    assert result.examples == {"arc_easy": 8}
    found = {metric.name: metric for metric in result.metrics}
    assert found["acc"].value in [i / 8 for i in range(9)] and found["acc"].higher_is_better is True
    if AutoConfig.from_pretrained(folder).is_encoder_decoder:
        with pytest.raises(ValueError, match="wikitext asks for rolling likelihoods, which lm-eval cannot measure"):
            evaluate_stock_tasks(folder, ["wikitext"])
    else:
        assert evaluate_stock_tasks(folder, ["wikitext"]).metrics[0].higher_is_better is False


@pytest.mark.slow
def test_a_stock_task_that_is_unknown_or_without_data_is_one_sentence(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"unknown lm-eval task 'arc_esy'; did you mean .*arc_easy"):
        evaluate_stock_tasks(folder, ["arc_esy"])
    with pytest.raises(
        ValueError, match=r"data of lm-eval's arc_easy cannot be loaded \(.*\); fetch them once"
    ) as raised:
        evaluate_stock_tasks(folder, ["arc_easy"])
    assert "\n" not in str(raised.value)


# The command.


@pytest.fixture
def command(micro_store, labs, monkeypatch, capsys):
    """`python -m alarm lm-eval` on the micro labs' store: their presets stand in for those of scale tiny."""
    monkeypatch.setattr("alarm.experiment.session.preset", lambda scale, task: micro_preset(task))

    def call(*arguments: object) -> tuple[int, str, str]:
        status = main(["lm-eval", "--store", str(micro_store), "--bootstrap", "0", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def test_the_command_evaluates_a_trained_run_as_its_record_does(command, labs, known_methods, tmp_path):
    record = Run(labs("wmt"), RunSpec("wmt", "holistic_only", 1)).record()
    output = tmp_path / "result.json"
    status, out, err = command("--task", "wmt", "--method", "holistic_only", "--seed", 1, "--output", output)
    assert (status, err) == (0, "")
    result = json.loads(output.read_text())
    found = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert found == {name: score["value"] for name, score in record.metrics["corpus"].items()}
    table = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("| alarm_wmt")]
    assert [[cell.strip() for cell in row] for row in table] == [
        ["alarm_wmt", name, f"{found[name]:.4f}", "–", better]
        for name, better in (("bleu", "higher"), ("chrf", "higher"), ("ter", "lower"))
    ]
    assert "lm-eval" in out and result["asked"]["method"] == "holistic_only" and result["environment"]["versions"]


def test_the_command_evaluates_the_sft_policy_a_test_set_and_a_folder(command, labs, tmp_path):
    lab = labs("wmt")
    expected = [generation.response for generation in lab.sft_test_generations]
    output = tmp_path / "result.json"
    assert command("--task", "wmt", "--method", "sft", "--limit", 5, "--output", output)[0] == 0
    assert [sample["response"] for sample in json.loads(output.read_text())["samples"]] == expected[:5]
    assert command("--task", "wmt", "--model", lab.policy_directory, "--output", output)[0] == 0
    assert [sample["response"] for sample in json.loads(output.read_text())["samples"]] == expected
    for ending in ("src", "ref"):
        (tmp_path / f"wmt23.de-en.{ending}").write_text("Ein Hund schläft.\nZwei Hunde schlafen.\n")
    chosen = ("--test-set", "wmt23", "--test-set-folder", tmp_path)
    assert command("--task", "wmt", "--method", "sft", *chosen, "--output", output)[0] == 0
    samples = json.loads(output.read_text())["samples"]
    assert [sample["id"] for sample in samples] == ["wmt23-1", "wmt23-2"]
    assert samples[1]["prompt"] == samples[1]["reference"] == "Zwei Hunde schlafen."


def test_a_run_that_is_not_in_the_store_is_said_and_not_trained(command, labs, micro_store, known_methods):
    assert labs("wmt").selection
    before = {path for path in micro_store.rglob("*") if path.name == "manifest.json"}
    status, out, err = command("--task", "wmt", "--method", "alarm", "--seed", 77)
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert "run wmt-alarm-seed77 is not there at scale tiny: the store" in err
    assert "pytest benchmarks --scale tiny --task wmt --method alarm --seeds 77" in err
    assert {path for path in micro_store.rglob("*") if path.name == "manifest.json"} == before


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "name one policy: --method with --task and --seed, --method sft, or --model DIR"),
        (["--method", "alarm", "--model", "x"], "name one policy"),
        (["--method", "alarm"], "--task is missing"),
        (["--model", "x"], "--task is missing"),
        (["--model", "x", "--lm-eval-task", "arc_easy", "--limit", "0"], "--limit must be at least 1, got 0"),
        (["--model", "x", "--task", "wmt", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["--model", "x", "--task", "wmt", "--test-set", "wmt22", "--lm-eval-task", "y"], "exclude each other"),
        (["--model", "x", "--task", "long_form_qa", "--test-set", "wmt22"], "--test-set wmt22 is translation"),
        (["--model", "x", "--task", "wnt"], "unknown task 'wnt'. Did you mean 'wmt'"),
        (["--method", "alram", "--task", "wmt"], "unknown method 'alram'. Did you mean 'alarm'"),
        (["--model", "x", "--task", "wmt", "--scale", "huge"], "unknown scale 'huge'"),
    ],
)
def test_options_that_do_not_fit_are_named_first(arguments, problem, tmp_path, capsys):
    assert main(["lm-eval", "--store", str(tmp_path / "store"), *arguments]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_lm_eval_is_imported_only_when_asked_for():
    code = "import sys, alarm, alarm.commands, alarm.evaluation.lm_harness.harness; print('lm_eval' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
