"""Starting a worker module in several processes, as a user starts a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINES = {
    "ddp": ["--multi_gpu"],  # on a machine without GPUs, too: gloo then joins the processes
    "fsdp": ["--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"],
}


def launch(
    module: str, *arguments: object, engine: str = "ddp", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `module` in two processes by `accelerate launch`, with further variables in their environment."""
    settings = ["--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]
    settings += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *ENGINES[engine], *settings, "-m", module]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300
    )
