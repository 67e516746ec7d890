"""`python -m benchmarks.peers.install DIR`: make the peers' environments, each with pinned packages and our torch."""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

from benchmarks.peers.environments import PEERS, Peer, check_environments, public


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.install", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the environments are made")
    folder = parser.parse_args(arguments).folder
    for peer in PEERS.values():
        venv.create(folder / peer.name, with_pip=True)
        if subprocess.run(install_command(peer, folder)).returncode:
            print(f"error: pip could not install {peer.label}; what it says is above", file=sys.stderr)
            return 1
    check_environments(folder)
    print(f"ready: pytest benchmarks -k peers --peers {folder}")
    return 0


def install_command(peer: Peer, folder: Path) -> list[str]:
    """What pip is told: all packages by version, torch by ours, so that nothing but the library differs."""
    torch = f"torch=={public(metadata.version('torch'))}"
    return [str(peer.python(folder)), "-m", "pip", "install", torch, "-r", str(peer.requirements)]


if __name__ == "__main__":
    sys.exit(main())
