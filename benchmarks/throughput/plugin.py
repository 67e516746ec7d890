"""Hooks of `pytest benchmarks -k throughput` and `-k peers`: what is stored, what is refused, a table at the end."""

from __future__ import annotations

import re
from typing import Any

import pytest

MODULES = {"throughput": "test_throughput.py", "peers": "test_peers.py"}
"""What is measured on its own, never beside training: the keyword that asks for it, and its file."""


def asked_for(config: pytest.Config) -> str | None:
    """What is to be measured, one of `MODULES`, or None: asked for by `-k throughput`, or by the file itself.

    Raises:
        pytest.UsageError: more than one.
    """
    keyword, arguments = config.option.keyword or "", config.invocation_params.args
    asked = [
        kind
        for kind, module in MODULES.items()
        if re.search(rf"(?<!not )(?<!not \()\b\w*{kind}", keyword) or any(module in str(a) for a in arguments)
    ]
    if len(asked) > 1:
        raise pytest.UsageError(f"{' and '.join(asked)} are measured one at a time; ask for one of them")
    return asked[0] if asked else None


def register(config: pytest.Config) -> None:
    """Measure in this session what was asked for, and nothing else: there is no experiment in `config.alarm`.

    Raises:
        pytest.UsageError: it cannot be measured as asked.
    """
    kind = asked_for(config)
    try:
        facts = _check_options(kind, config.option)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.alarm = None
    config.throughput = MeasuringHooks(kind, facts)
    config.pluginmanager.register(config.throughput, "alarm-throughput")


def _check_options(kind: str, option: Any) -> dict[str, Any]:
    """Facts that belong to the machine's for this kind."""
    if option.numprocesses:
        raise ValueError("throughput is measured in one process, which has the machine to itself; leave out -n")
    if kind == "peers":
        from benchmarks.peers.environments import check_options

        return check_options(option)
    from alarm.experiment.session import check_device
    from alarm.presets import has_preset

    has_preset(option.scale, "wmt")  # raises where there is no such scale
    check_device(option.device)
    return {"scale": option.scale}


class MeasuringHooks:
    """Registered when something is measured on its own, and only then."""

    def __init__(self, kind: str, facts: dict[str, Any]) -> None:
        self._kind, self._facts = kind, facts
        self.matrix_rates: dict[str, float] = {}
        """By dtype, once measured."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_generate_machine_info(self, config: pytest.Config) -> dict[str, Any]:
        from benchmarks.throughput.machine import machine_facts

        return machine_facts(config.option.device) | self._facts

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        output_json["machine_info"]["matrix_rates"] = self.matrix_rates
        for bench in output_json["benchmarks"]:
            bench["params"] = {name: getattr(value, "name", value) for name, value in (bench["params"] or {}).items()}

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_compare_machine_info(
        self, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
    ) -> None:
        from benchmarks.throughput.machine import check_comparable

        # Measured anew in every run, and so never equal: pytest-benchmark would warn each time.
        compared_benchmark["machine_info"].pop("matrix_rates", None)
        try:
            check_comparable(machine_info, compared_benchmark["machine_info"])
        except ValueError as error:
            raise pytest.UsageError(f"--benchmark-compare: {error}") from error

    def pytest_ignore_collect(self, collection_path) -> bool | None:
        """No other benchmark is collected, so that nothing is trained."""
        name = collection_path.name
        own = MODULES[self._kind]
        return True if name.startswith("test_") and name.endswith(".py") and name != own else None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """One workload after the other, so that the networks of one at a time are in memory."""
        names: dict[str, int] = {}
        for item in items:
            names.setdefault(_workload(item), len(names))
        items.sort(key=lambda item: names[_workload(item)])

    def pytest_terminal_summary(self, terminalreporter, config: pytest.Config) -> None:
        if self._kind == "peers":
            from benchmarks.peers.summary import summary
        else:
            from benchmarks.throughput.summary import summary

        measured = [bench for bench in config._benchmarksession.benchmarks if not bench.has_error]
        if measured:
            terminalreporter.section(self._kind)
            for line in summary(measured, self.matrix_rates):
                terminalreporter.line(line)


def _workload(item: pytest.Item) -> str:
    workload = getattr(item, "callspec", None) and item.callspec.params.get("workload")
    return getattr(workload, "name", "")
