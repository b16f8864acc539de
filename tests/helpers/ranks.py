"""Processes that train together inside of a test: forked, so that nothing has to be imported again."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint  # this and the next: what torch imports while a run trains and saves, in each fork
import torch.fx.experimental.symbolic_shapes

from utils.distributed import Ranks, join, launch_of, leave, meeting_point

PATIENCE = 60  # seconds
FORK = multiprocessing.get_context("fork")


class Ended:
    """How a process ended without a result."""

    def __init__(self, status: int | None, text: str = "") -> None:
        self.status, self.text = status, text


def run_ranks(size: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(ranks, *arguments)` returns on each rank."""
    return run_processes(size, _joined, work, *arguments)


def run_processes(size: int, work: Callable[..., Any], *arguments: Any, may_fail: bool = False) -> list[Any]:
    """What `work(*arguments)` returns in each of `size` processes, in the environment that torchrun gives them, which
    keeps the store by which they meet."""
    pipes, processes = [], []
    with kept_store() as port:
        for rank in range(size):
            receiver, sender = FORK.Pipe(duplex=False)
            processes.append(FORK.Process(target=_run, args=(rank, size, port, sender, work, arguments), daemon=True))
            processes[-1].start()
            sender.close()
            pipes.append(receiver)
        results = [_received(pipe, process) for pipe, process in zip(pipes, processes, strict=True)]
        for process in processes:
            process.join(PATIENCE)
            process.kill()
    failed = [f"rank {rank}: {each.status} {each.text}" for rank, each in enumerate(results) if isinstance(each, Ended)]
    assert may_fail or not failed, "\n".join(failed)
    return results


@contextmanager
def kept_store() -> Iterator[int]:
    """The port of a store in a process of its own, as torchrun keeps one: its threads are not here, where forks are."""
    receiver, sender = FORK.Pipe(duplex=False)
    keeper = FORK.Process(target=_keep_store, args=(sender,), daemon=True)
    keeper.start()
    try:
        yield receiver.recv()
    finally:
        keeper.kill()


def _keep_store(sender: Any) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    sender.send(store.port)
    signal.pause()


def _received(pipe: Any, process: Any) -> Any:
    try:
        if pipe.poll(PATIENCE):
            return pickle.loads(pipe.recv_bytes())
    except EOFError:
        pass
    process.join(1)
    return Ended(process.exitcode)


def _run(rank: int, size: int, port: int, sender: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    faulthandler.dump_traceback_later(PATIENCE - 5, file=2)  # where a rank hangs, before it is given up
    torch.set_num_threads(1)  # the threads of the parent are not here
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True",
    }  # fmt: skip
    try:
        result = work(*arguments)
    except SystemExit as stop:
        result = Ended(int(stop.code or 0))
    except BaseException as error:
        result = Ended(None, f"{error}\n{traceback.format_exc()}")
    faulthandler.cancel_dump_traceback_later()
    sender.send_bytes(pickle.dumps(result))  # a pipe alone would share tensors, for as long as the process lives
    sender.close()
    sys.stdout.flush()


def _joined(work: Callable[..., Any], *arguments: Any) -> Any:
    launch = launch_of()
    ranks: Ranks = join(launch, torch.device("cpu"), meeting_point(launch))
    result = work(ranks, *arguments)
    leave(ranks)
    return result
