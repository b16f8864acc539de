"""Processes that train together inside of a test: forked, so that nothing has to be imported again."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

import torch

from utils.distributed import Launch, Ranks, join, leave

PATIENCE = 60  # seconds


class Ended:
    """How a process ended without a result."""

    def __init__(self, status: int | None, text: str = "") -> None:
        self.status, self.text = status, text


def run_ranks(size: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(ranks, *arguments)` returns on each rank."""
    return run_processes(size, _joined, work, *arguments)


def run_processes(size: int, work: Callable[..., Any], *arguments: Any, may_fail: bool = False) -> list[Any]:
    """What `work(*arguments)` returns in each of `size` processes, in the environment that torchrun gives them."""
    context = multiprocessing.get_context("fork")
    port, pipes, processes = _free_port(), [], []
    for rank in range(size):
        receiver, sender = context.Pipe(duplex=False)
        processes.append(context.Process(target=_run, args=(rank, size, port, sender, work, arguments), daemon=True))
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


def _received(pipe: Any, process: Any) -> Any:
    try:
        if pipe.poll(PATIENCE):
            return pickle.loads(pipe.recv_bytes())
    except EOFError:
        pass
    process.join(1)
    return Ended(process.exitcode)


def _run(rank: int, size: int, port: int, sender: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)  # the threads of the parent are not here
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    try:
        result = work(*arguments)
    except SystemExit as stop:
        result = Ended(int(stop.code or 0))
    except BaseException as error:
        result = Ended(None, f"{error}\n{traceback.format_exc()}")
    sender.send_bytes(pickle.dumps(result))  # a pipe alone would share tensors, for as long as the process lives
    sender.close()
    sys.stdout.flush()


def _joined(work: Callable[..., Any], *arguments: Any) -> Any:
    ranks: Ranks = join(Launch(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])), torch.device("cpu"))
    result = work(ranks, *arguments)
    leave(ranks)
    return result


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
