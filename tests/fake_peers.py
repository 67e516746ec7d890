"""Peers that are none: environments and workers of plain Python, and small workloads, for tests of the comparison."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from benchmarks.peers import comparisons, environments
from benchmarks.throughput.floor import Shape

WORKERS = environments.FOLDER / "workers"
SMALL = Shape(
    "causal",
    hidden=16,
    feedforward=32,
    layers=2,
    heads=2,
    vocabulary=64,
    batch=4,
    mini_batch=2,
    epochs=2,
    prompt_tokens=16,
    response_tokens=6,
)
PREPARE = """
import sys
sys.path.insert(0, {workers!r})
from serving import Server
server = Server()
request = server.wait()
shape = request["shape"]
tokens = shape["batch"] * shape["response_tokens"]
"""
STEADY = """
from transformers import GPT2Config, GPT2LMHeadModel
network = GPT2LMHeadModel(
    GPT2Config(
        n_positions=request["positions"],
        n_embd=shape["hidden"],
        n_inner=shape["feedforward"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        vocab_size=shape["vocabulary"],
    )
)
server.answer(parameters=network.num_parameters())
for seconds in iter(lambda: server.wait() and 9.0, None):
    server.answer(seconds=seconds, rollout_seconds=3.0, tokens=tokens, loss=0.1)
"""


def write_worker(path: Path, rest: str) -> list[str]:
    """A worker whose program is `rest`, with `server`, `request`, `shape` and `tokens` at hand; returns its command."""
    path.write_text(PREPARE.format(workers=str(WORKERS)) + rest)
    return [sys.executable, str(path)]


def write_environment(folder: Path, name: str, program: str = STEADY, **versions: str) -> None:
    """A folder that looks like a peer's environment; whatever worker it is to run, it runs `program`."""
    peer = environments.PEERS[name]
    held = dict.fromkeys(environments.SHOWN, "1.0") | {"python": "3.11", "trl": peer.version}
    held |= {"torch": metadata.version("torch")} | versions
    python = peer.python(folder)
    python.parent.mkdir(parents=True)
    command = " ".join(write_worker(python.parent / "worker.py", program))
    said = str(held).replace("'", '"')
    python.write_text(f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{said}'; else exec {command}; fi\n")
    python.chmod(0o755)


def pytest_configure() -> None:
    """As a plugin of pytest: one small comparison in place of the real ones."""
    from benchmarks.throughput import machine

    machine.MATRIX_SIZE = 256
    workload = replace(comparisons.workload_of(SMALL), name="small", rounds=3)
    comparisons.COMPARISONS = (comparisons.Comparison(workload, "trl-1.12.0", "fake", {"activation": "gelu_new"}),)
