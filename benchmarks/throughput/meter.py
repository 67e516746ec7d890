"""The meter: one phase under pytest-benchmark, its work per second, its memory, its share of the matrix rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from alarm.memory import LiveBytes
from benchmarks.throughput import machine

aten = torch.ops.aten


@dataclass(frozen=True)
class Cost:
    """What a phase takes, whatever the machine."""

    flops: int
    """Of matrix products and attention, forward and backward; padding counts as it is computed."""
    tensor_bytes: int
    """The most that was alive at once of the tensors made in it."""


def count_cost(run: Callable[[], object]) -> Cost:
    """Run a phase once, slowly, and count."""
    # Attention on a CPU has an operation of its own, which torch's counter leaves out.
    own = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with LiveBytes() as held, FlopCounterMode(display=False, custom_mapping=own) as counter:
        kept = run()
    del kept
    return Cost(counter.get_total_flops(), held.peak)


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_, **__) -> int:
    """Two products, QK and AV, of shapes [B, H, T, D]."""
    rows, heads, length, width = query
    return 2 * rows * heads * length * key[2] * (width + value[3])


def _attention_backward(gradient: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_, **__) -> int:
    """Five products: the scores again, and the gradients of Q, K, A and V."""
    return _attention(query, key, value) * 5 // 2


class Meter:
    """Measures one phase; what it finds goes into the benchmark's `extra_info`."""

    def __init__(self, benchmark, device: str, rates: Mapping[str, float]) -> None:
        """`rates` are the machine's matrix rates by dtype, from the same run."""
        self._benchmark, self._device, self._rates = benchmark, device, rates

    def __call__(
        self,
        target: Callable[[], object],
        *,
        rounds: int,
        warmup_rounds: int = 1,
        work: Mapping[str, float],
        dtype: str = "float32",
        cost: Cost | None = None,
        per_round: int = 1,
        estimated_bytes: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Time `target` for so many rounds after one that warms up, unless another number of these is given.

        Args:
            target: the phase; the device is waited for before and after it.
            work: how much of what a round does, e.g. {"tokens": 4096}; gives `tokens_per_second`.
            dtype: of the matrix rate that the phase's rate is set beside.
            cost: of one round.
            per_round: steps of one round, where a step is what is of interest.
            estimated_bytes: what `alarm.memory` computes for the phase, beyond what is there before it.
            facts: anything else for the record.
        """
        device, events = self._device, []
        machine.synchronize(device)
        machine.reset_peaks(device)
        before = machine.resident_device_bytes(device)
        self._benchmark.pedantic(
            _on_device(target, device, events),
            setup=lambda: machine.synchronize(device),
            rounds=rounds,
            warmup_rounds=warmup_rounds,
        )
        info = self._benchmark.extra_info
        info |= {"device": device, "dtype": dtype, "work_per_round": dict(work), **(facts or {})}
        info["peak_host_bytes"] = machine.peak_host_bytes()
        if before is not None:
            peak = machine.peak_device_bytes(device)
            info |= {"resident_device_bytes": before, "peak_device_bytes": peak, "phase_device_bytes": peak - before}
        if estimated_bytes is not None:
            info["estimated_phase_bytes"] = estimated_bytes
        if cost is not None:
            info |= {"flops": cost.flops, "phase_tensor_bytes": cost.tensor_bytes}
        if self._benchmark.stats is not None:  # benchmarks may be switched off, and the phase has then only run
            info |= self._speed(work, cost, dtype, per_round, events)

    def _speed(
        self, work: Mapping[str, float], cost: Cost | None, dtype: str, per_round: int, events: list[float]
    ) -> dict[str, float]:
        seconds = self._benchmark.stats.stats.median
        found = {f"{what}_per_second": amount / seconds for what, amount in work.items()}
        if per_round > 1:
            found["seconds_per_step"] = seconds / per_round
        if events:
            found["event_seconds"] = statistics.median(events[1:])
        if cost is not None and cost.flops:
            found["flops_per_second"] = cost.flops / seconds
            found["share_of_matrix_rate"] = cost.flops / seconds / self._rates[dtype]
        return found


def _on_device(target: Callable[[], object], device: str, events: list[float]) -> Callable[[], None]:
    """The target with the wait for its end; on a GPU also the seconds between two events around it, in `events`."""
    if not machine.is_cuda(device):
        return target

    def run() -> None:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.device(device):
            start.record()
            target()
            end.record()
        torch.cuda.synchronize(device)
        events.append(start.elapsed_time(end) / 1000)

    return run


class Laps:
    """Seconds of the phases of iterations, waited for on the device."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.seconds: dict[str, list[float]] = {}
        self._last = 0.0

    def start(self) -> None:
        machine.synchronize(self._device)
        self._last = time.perf_counter()

    def __call__(self, phase: str) -> None:
        machine.synchronize(self._device)
        now = time.perf_counter()
        self.seconds.setdefault(phase, []).append(now - self._last)
        self._last = now

    def medians(self) -> dict[str, float]:
        """By phase; the first iteration warms up and does not count."""
        return {phase: statistics.median(found[1:] or found) for phase, found in self.seconds.items()}
