"""Hooks of `pytest benchmarks -k throughput`: what the stored JSON says, what is refused, and a table at the end."""

from __future__ import annotations

import re
from typing import Any

import pytest

MODULE = "test_throughput.py"


def asked_for(config: pytest.Config) -> bool:
    """Whether throughput is to be measured: `-k throughput`, or the file itself."""
    by_keyword = re.search(r"(?<!not )(?<!not \()\b\w*throughput", config.option.keyword or "")
    return bool(by_keyword) or any(MODULE in str(argument) for argument in config.invocation_params.args)


def register(config: pytest.Config) -> None:
    """Measure throughput in this session, and nothing else: there is no experiment in `config.alarm`.

    Raises:
        pytest.UsageError: it cannot be measured as asked.
    """
    try:
        _check_options(config.option)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.alarm = None
    config.throughput = ThroughputHooks()
    config.pluginmanager.register(config.throughput, "alarm-throughput")


def _check_options(option: Any) -> None:
    from alarm.experiment.session import check_device
    from alarm.presets import has_preset

    if option.numprocesses:
        raise ValueError("throughput is measured in one process, which has the machine to itself; leave out -n")
    has_preset(option.scale, "wmt")  # raises where there is no such scale
    check_device(option.device)


class ThroughputHooks:
    """Registered when throughput is measured, and only then."""

    def __init__(self) -> None:
        self.matrix_rates: dict[str, float] = {}
        """By dtype, once measured."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_generate_machine_info(self, config: pytest.Config) -> dict[str, Any]:
        from benchmarks.throughput.machine import machine_facts

        return machine_facts(config.option.device) | {"scale": config.option.scale}

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
        return True if name.startswith("test_") and name.endswith(".py") and name != MODULE else None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """One workload after the other, so that the networks of one at a time are in memory."""
        names: dict[str, int] = {}
        for item in items:
            names.setdefault(_workload(item), len(names))
        items.sort(key=lambda item: names[_workload(item)])

    def pytest_terminal_summary(self, terminalreporter, config: pytest.Config) -> None:
        from benchmarks.throughput.summary import summary

        measured = [bench for bench in config._benchmarksession.benchmarks if not bench.has_error]
        if measured:
            terminalreporter.section("throughput")
            for line in summary(measured, self.matrix_rates):
                terminalreporter.line(line)


def _workload(item: pytest.Item) -> str:
    workload = getattr(item, "callspec", None) and item.callspec.params.get("workload")
    return getattr(workload, "name", "")
