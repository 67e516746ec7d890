"""The machine that is measured: what it is, how fast it multiplies matrices, and how much memory was held at most."""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from alarm.environment import environment
from alarm.ppo.policy import DTYPES

MATRIX_SIZE = 4096
MATRIX_ROUNDS = 5
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if is_cuda(device):
        torch.cuda.synchronize(device)


def machine_facts(device: str) -> dict[str, Any]:
    """Versions, commit, processor, threads, and of a GPU its name, memory, driver and CUDA."""
    facts = environment(device) | {
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if is_cuda(device):
        card = torch.cuda.get_device_properties(device)
        facts |= {
            "device_name": card.name,
            "device_bytes": card.total_memory,
            "compute_capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "driver": _driver(),
        }
    return facts


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found[0] if found else "unknown"


def check_comparable(now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless two runs' machine facts name the same hardware."""
    hardware = before.get("hardware", "unknown hardware")
    if hardware != now["hardware"]:
        raise ValueError(
            f"the stored benchmark was measured on {hardware} and this run is on {now['hardware']}; times of different "
            "hardware are not compared: measure the older code here, or leave out --benchmark-compare"
        )


def matrix_rates(device: str, dtypes: Iterable[str], *, size: int, rounds: int = MATRIX_ROUNDS) -> dict[str, float]:
    """Floating-point operations per second of square matrix products, by dtype: the median of some rounds."""
    return {name: _matrix_rate(device, DTYPES[name], size=size, rounds=rounds) for name in dtypes}


def _matrix_rate(device: str, dtype: torch.dtype, *, size: int, rounds: int) -> float:
    # The result has its place: to get a new one from the system may take as long as a third of the product.
    left, right, product = (torch.randn(size, size, device=device).to(dtype) for _ in range(3))
    seconds = []
    for _ in range(rounds + 1):
        synchronize(device)
        started = time.perf_counter()
        torch.mm(left, right, out=product)
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[1:])


def reset_peaks(device: str) -> None:
    """Forget the most memory that was held so far; the host's where the kernel allows it."""
    if is_cuda(device):
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        CLEAR.write_text("5", encoding="ascii")


def resident_device_bytes(device: str) -> int | None:
    """Bytes of tensors on a GPU; None on a CPU, whose memory is the host's."""
    return torch.cuda.memory_allocated(device) if is_cuda(device) else None


def peak_device_bytes(device: str) -> int | None:
    """The most bytes of tensors on a GPU since `reset_peaks`."""
    return torch.cuda.max_memory_allocated(device) if is_cuda(device) else None


def peak_host_bytes() -> int:
    """The most memory of this process since `reset_peaks`, or since it began where that cannot be forgotten."""
    try:
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * int(line.split()[1])
