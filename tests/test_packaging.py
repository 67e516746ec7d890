"""The project as it is installed: what imports, what must not, and that nothing named is missing."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from alarm import settings
from alarm.presets import TASK_NAMES

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "alarm").rglob("*.py"))
CODE = [*SOURCES, *sorted((ROOT / "baselines").glob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]
NAMED_PACKAGES = (
    *("torch", "transformers", "trl", "lm_eval", "sacrebleu", "comet", "openai", "pytest_benchmark"),
    *("pandas", "tabulate"),
)
HEAVY_PACKAGES = ("trl", "comet", "lm_eval", "matplotlib", "transformers", "datasets", "peft", "lingua", "harper")


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_every_named_package_imports_in_a_fresh_interpreter():
    names = ", ".join(NAMED_PACKAGES)
    assert python(f"import {names}; print('all')").endswith("all\n")


def test_import_alarm_is_light():
    loaded = python("import sys, alarm, baselines; print(*{name.split('.')[0] for name in sys.modules})").split()
    assert "torch" in loaded
    assert not set(loaded) & set(HEAVY_PACKAGES)


def test_every_requirement_is_pinned_in_the_constraints():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = {normal(re.split(r"[<>=\[ ]", line)[0]) for line in (*project["dependencies"], *extras["test"])}
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pinned = {normal(line.split("==")[0]) for line in lines if "==" in line}
    assert required <= pinned


def test_base_models_are_installed():
    """By what setuptools itself would copy; `provenance.json` tells whether weights are whole."""
    found = python(
        "from setuptools import Distribution\n"
        "from setuptools.config.pyprojecttoml import apply_configuration\n"
        "distribution = apply_configuration(Distribution(), 'pyproject.toml')\n"
        "command = distribution.get_command_obj('build_py')\n"
        "command.ensure_finalized()\n"
        "command.manifest_files = {}  # what version control lists is not asked\n"
        "print(*command.find_data_files('alarm', 'alarm'), sep='\\n')"
    ).splitlines()
    bases = ROOT / "alarm" / "bases"
    assert {folder.name for folder in bases.iterdir()} == set(TASK_NAMES)
    wanted = {str(path.relative_to(ROOT)) for path in bases.rglob("*") if path.is_file()}
    assert wanted <= set(found)
    for task in TASK_NAMES:
        names = ("model.safetensors", "config.json", "provenance.json", "tokenizer.json")
        assert {f"alarm/bases/{task}/{name}" for name in names} <= wanted


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_ppo_is_our_own():
    """TRL trains preference models here and nothing else: neither its PPO nor its value heads, under any name."""
    imported = {name for path in CODE for name in imports(path) if name.split(".")[0] == "trl"}
    assert imported == {"trl.RewardConfig", "trl.RewardTrainer"}


def test_the_package_imports_neither_tests_nor_benchmarks():
    assert not [name for path in SOURCES for name in imports(path) if name.split(".")[0] in ("tests", "benchmarks")]


def settings_fields() -> list[tuple[str, str]]:
    classes = [cls for cls in vars(settings).values() if isinstance(cls, type) and is_dataclass(cls)]
    return [(cls.__name__, field.name) for cls in classes for field in fields(cls)]


def test_every_setting_is_read_somewhere():
    """A setting that nothing reads can be set but decides nothing."""
    read = set()
    for path in CODE:
        if path.name not in ("settings.py", "presets.py"):
            nodes = ast.walk(ast.parse(path.read_text()))
            read |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    unread = [f"{cls}.{name}" for cls, name in settings_fields() if name not in read]
    assert not unread


# The README promises nothing that is not there.


@pytest.fixture(scope="module")
def readme() -> str:
    path = ROOT / "README.md"
    if not path.is_file():
        pytest.skip("there is no README.md")
    return path.read_text()


def test_the_readmes_links_and_paths_exist(readme):
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", readme) if "://" not in link]
    folders = "alarm|baselines|benchmarks|tests|results"
    quoted = re.findall(rf"`((?:{folders})/[\w./-]+)`", readme)
    made_by_runs = ("results/tiny", "results/small")
    paths = [path for path in (*links, *quoted) if path and not path.startswith(made_by_runs)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_the_readmes_modules_exist(readme):
    """Dotted names such as `alarm.ppo.released`, and attributes of modules such as `alarm.transforms.sigmoid_shape`."""
    for name in set(re.findall(r"`(alarm(?:\.\w+)+)`", readme)):
        parts = name.split(".")
        paths = [ROOT.joinpath(*parts[:end]) for end in (len(parts), len(parts) - 1)]
        assert any(path.is_dir() or path.with_suffix(".py").is_file() for path in paths), name


def test_the_readmes_environments_exist(readme):
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    named = set(re.findall(r"tox (?:run )?-e (\w+)", readme))
    assert named and all(f"testenv:{name}" in tox for name in named)


def test_the_readmes_options_exist(readme):
    """Every option of our own commands is one that `pytest benchmarks` or `python -m alarm` has."""
    from alarm.experiment.choices import CHOICES

    sources = [ROOT / "benchmarks" / "conftest.py", *(ROOT / "alarm" / "commands").glob("*.py")]
    known = {option for source in sources for option in re.findall(r'"(--[a-z-]+)"', source.read_text())}
    known |= {f"--{name.replace('_', '-')}" for name in CHOICES} | {"--benchmark-json"}
    for line in readme.splitlines():
        if re.search(r"pytest benchmarks|tox -e (benchmarks|tables)|python -m alarm", line):
            assert set(re.findall(r"(?<=\s)--[a-z-]+", line)) <= known, line


def test_the_readmes_commands_of_alarm_exist(readme):
    from alarm.commands import COMMANDS

    for command in re.findall(r"python -m alarm ([a-z][\w-]*)", readme):
        assert command in COMMANDS
