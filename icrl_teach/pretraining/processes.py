"""Several processes, several threads, one signal: what a training run shares with the rest of its machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from icrl_teach._validate import shown
from icrl_teach.pretraining.batches import Batch
from icrl_teach.pretraining.losses import Learner


def rank_and_world() -> tuple[int, int]:
    """(rank, number of processes) as torchrun sets them; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of x over all processes, in place; x itself without any."""
    if distributed.is_initialized():
        distributed.all_reduce(x)
        x /= distributed.get_world_size()
    return x


def my_share(batch: Batch, rank: int, world: int) -> Batch:
    """Every process draws the same global batch and keeps every world-th task of each seed."""
    return batch if world == 1 else Batch(*(t[:, rank::world] for t in batch))


def first_line(error: Exception) -> str:
    """What an error says, short enough for one line: torch adds hints and stacks."""
    return str(error).partition("\n")[0][:80]


def own_device(device: str | torch.device) -> torch.device:
    """The device of this process: under torchrun, each process on a machine takes another CUDA device."""
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.ones(1, device=chosen).item()  # a device that computes, and gives the result back
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise ValueError(f"device is {shown(str(device))}, which cannot be used here ({reason}); try 'cpu'") from None
    return chosen


@contextmanager
def joined_processes(learner: Learner, device: torch.device) -> Iterator[nn.Module]:
    """The learner, ready to run: under torchrun inside DistributedDataParallel and a group of all processes.

    The group lasts as long as the run. All wait for each other before it is taken down; after a failure the others are
    cut off at once instead of waiting. A group that is there already is used, and stays.
    """
    rank, world = rank_and_world()
    n_tasks = learner.config.n_tasks
    if n_tasks % world:
        raise ValueError(f"n_tasks is {n_tasks}; {world} processes need a multiple of {world}")
    if world == 1 or distributed.is_initialized():
        yield learner if world == 1 else nn.parallel.DistributedDataParallel(learner)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=_new_store(rank, world), rank=rank, world_size=world)
    network: nn.Module = learner
    try:
        network = nn.parallel.DistributedDataParallel(learner)
        yield network
        distributed.barrier()
    finally:
        # The group ends here and not with its last owner. Seen in a debugger: where that was DDP's reducer, kept by a
        # traceback, it held Python's lock while it waited for the group's threads, which need that lock to let go of
        # tensors. That a rare abort at the interpreter's end had the same cause is likely, and not shown.
        for name in ("reducer", "logger", "process_group"):
            vars(network).pop(name, None)
        distributed.destroy_process_group()


_stores: list[distributed.Store] = []  # the first, which all processes share, and then one for each group


def _new_store(rank: int, world: int) -> distributed.Store:
    """Where the processes of one group find each other: a prefix of its own, or a group would find the last one's."""
    if not _stores:
        _stores.append(next(distributed.rendezvous("env://", rank, world))[0])
    _stores.append(distributed.PrefixStore(f"icrl-teach/{len(_stores)}", _stores[0]))
    return _stores[-1]


@contextmanager
def stop_signal() -> Iterator[list[int]]:
    """A list to which Ctrl-C and SIGTERM add their number, so that the step in flight is finished and nothing is half
    updated."""
    stop: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda number, _frame: stop.append(number)) for kind in kinds]
    try:
        yield stop
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


class OneThread:
    """Tensors this small gain nothing from threads, which wait for each other, and busily (on a busy machine with two
    cores: over ten times slower); and one thread rounds alike wherever a run is resumed. The number of threads belongs
    to the whole process, so of runs that overlap the first saves it and the last restores it."""

    def __init__(self) -> None:
        self.lock, self.runs, self.before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        with self.lock:
            if self.runs == 0:
                self.before = torch.get_num_threads()
                torch.set_num_threads(1)
            self.runs += 1

    def __exit__(self, *_error: object) -> None:
        with self.lock:
            self.runs -= 1
            if self.runs == 0:
                torch.set_num_threads(self.before)


one_thread = OneThread()


def anyone(stop: list[int], device: torch.device) -> bool:
    """Whether any process wants to stop: all must leave the loop at the same step."""
    if not distributed.is_initialized():
        return bool(stop)
    return mean_over_processes(torch.tensor(float(bool(stop)), device=device)).item() > 0
