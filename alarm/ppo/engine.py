"""accelerate as the engine of several processes: joining them, and a policy that they train together by DDP or FSDP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from alarm.ppo import processes
from alarm.ppo.batch import TokenBatch

if TYPE_CHECKING:
    from accelerate import Accelerator

    from alarm.ppo.policy import Policy

PATIENCE = timedelta(hours=3)
"""How long a process waits for the others, as the main one may be scoring test responses; a dead one shows at once."""


def launched() -> int:
    """How many processes a launcher started together with this one, itself included, whether joined yet or not.

    Raises:
        ValueError: `accelerate launch --cpu`, which starts one process whatever number it is asked for.
    """
    if "WORLD_SIZE" not in os.environ and {"ACCELERATE_USE_CPU", "MASTER_PORT"} <= os.environ.keys():
        raise ValueError(
            "accelerate launch --cpu starts one process only; give --multi_gpu instead, with --device cpu behind the "
            "command where there is no GPU"
        )
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: str) -> str:
    """The device of this process where all were told `device`.

    Raises:
        ValueError: accelerate was configured for what PPO here does not do; said before anything is loaded.
    """
    if launched() == 1:
        return device
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision != "no":
        raise ValueError(
            f"accelerate is set to mixed precision {precision}; launch with --mixed_precision no: the preset's policy "
            "says the dtype of the base weights, and losses are always float32"
        )
    for name in ("DeepSpeed", "Megatron_LM"):
        if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "false").lower() == "true":
            raise ValueError(f"accelerate is set to {name}; PPO runs by DDP (--multi_gpu) or FSDP (--use_fsdp)")
    if _by_fsdp() and os.environ.get("FSDP_VERSION", "1") != "2":
        raise ValueError("PPO needs FSDP's second version; launch with --fsdp_version 2")
    if device.startswith("cuda:"):
        raise ValueError(f"several processes cannot share {device}; give --device cuda, and each takes one of its own")
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device


def join(device: str) -> None:
    """Form one group with the processes that were launched with this one; `device` is its own."""
    if launched() > 1:
        # Left on, transformers would from now on load every network empty in all processes but one.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        accelerator(torch.device(device).type == "cpu")


def _by_fsdp() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def lost_company(error: RuntimeError) -> bool:
    """Whether a call of all processes failed because another one is gone."""
    signs = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused", "Timed out")
    return isinstance(error, torch.distributed.DistError) or any(sign in str(error) for sign in signs)


@cache
def accelerator(on_cpu: bool) -> Accelerator:
    """This process's accelerator; the first call forms the group."""
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    return Accelerator(cpu=on_cpu, kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])


def prepare(policy: Policy, optimizer: torch.optim.Optimizer) -> nn.Module:
    """The module to call for outputs that gradients flow from; alone, the policy itself.

    By FSDP the policy's parameters are replaced by sharded ones, in `optimizer` too.
    """
    if processes.count() == 1:
        return policy
    shared = accelerator(policy.device.type == "cpu")
    if _by_fsdp():
        from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

        from alarm.ppo.trunks import HuggingFaceTrunk

        # accelerate shards on GPUs only, though torch can on CPUs, and forgets FSDP once an optimiser is prepared.
        shared.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        shared.state.distributed_type = DistributedType.FSDP
        # Weights are whole only inside the calls of the modules that hold them.
        policy.trunk = HuggingFaceTrunk(policy.model)
    learner, _ = shared.prepare(policy, optimizer)
    if _sharded_modules(policy):
        # The module that is called first becomes the root of all, and rollouts call those below it.
        _call_whole(policy)
        shard_again(policy)
    return learner


@torch.no_grad()
def _call_whole(policy: Policy) -> None:
    """Pass one token through the whole policy."""
    token = torch.ones(1, 1, dtype=torch.long, device=policy.device)
    policy(TokenBatch(token, token.bool(), token, token.bool()))


@contextmanager
def unsharded(policy: Policy) -> Iterator[None]:
    """Inside, every process has all weights and may call the policy by itself, as often as it likes, without gradient.

    Under FSDP a call is otherwise one of all processes together, and sampling would have to keep step token by token.
    """
    modules = _sharded_modules(policy)
    below = [module for module in modules if module is not policy]  # the root keeps its weights after a call anyway
    for module in below:
        module.set_reshard_after_forward(False, recurse=False)
    for module in modules:
        module.unshard()
    try:
        yield
        if modules:
            # The next backward pass fetches in the order of the calls before it: let the last one be the same for all.
            _call_whole(policy)
    finally:
        shard_again(policy)
        for module in below:
            module.set_reshard_after_forward(True, recurse=False)


def shard_again(policy: nn.Module) -> None:
    """Drop the whole weights that a call without a backward pass leaves at hand, old after the next optimiser step."""
    for module in _sharded_modules(policy):
        module.reshard()


def _sharded_modules(policy: nn.Module) -> list[Any]:
    if processes.count() == 1:
        return []
    from torch.distributed.fsdp import FSDPModule

    return [module for module in policy.modules() if isinstance(module, FSDPModule)]


def whole(tensor: Tensor) -> Tensor:
    """A tensor that is sharded over the processes put together in each of them; any other as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def placed_like(parameter: Tensor, value: Tensor) -> Tensor:
    """A whole tensor of a parameter's shape, sharded as the parameter is."""
    if not hasattr(parameter, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def whole_weights(policy: nn.Module) -> dict[str, Tensor]:
    """The policy's `state_dict` with whole tensors, on the CPU; all processes call this together."""
    return {name: whole(value).cpu() for name, value in policy.state_dict().items()}


def whole_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's `state_dict` with whole tensors; all processes call this together."""
    state = optimizer.state_dict()
    moments = {i: {name: whole(value) for name, value in of.items()} for i, of in state["state"].items()}
    return {**state, "state": moments}


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load what `whole_state` returned, however many processes there were then."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        i: {name: placed_like(parameters[i], v) if v.shape == parameters[i].shape else v for name, v in of.items()}
        for i, of in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})
