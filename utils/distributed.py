"""Processes that train together: who this one is, and what they tell each other, by torch.distributed.

A process alone is `ONE`: what it tells all it tells itself, and no process group is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from utils.errors import UserError, reason

Value = TypeVar("Value")

HOST = torch.device("cpu")

MEETING = timedelta(minutes=5)  # in which rank 0 must be there: another machine may be slow to start
PATIENCE = timedelta(
    hours=6
)  # of a collective: whoever has died is noticed by training/distributed/watch.py, long before


class Launch(NamedTuple):
    """What torchrun says of this process; alone without it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on its machine
    restarts: int = 0  # of all processes, after one has died


ALONE = Launch()


def launch_of(environment: Mapping[str, str] = os.environ) -> Launch:
    """By the variables that torchrun sets. UserError for some that make no sense."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT")
    values = [environment.get(name, default) for name, default in zip(names, ("0", "1", "0", "0"), strict=True)]
    for name, value in zip(names, values, strict=True):
        if not value.isdecimal():
            raise UserError(f"the environment has {name}={value!r}; torchrun sets it to a number")
    launch = Launch(*map(int, values))
    if not launch.rank < launch.size:
        raise UserError(
            f"the environment has RANK={launch.rank} and WORLD_SIZE={launch.size}; ranks are below the size"
        )
    return launch


@dataclass
class Ranks:
    """This process among those that train together. Every method is called by all of them, in the same order."""

    rank: int = 0
    size: int = 1
    device: torch.device = HOST  # of the tensors that are told
    host: Any = None  # the process group of what is told between hosts; None where `device` is theirs
    sent: int = 0  # bytes to others, by `all_to_all`

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which speaks, measures and writes for all."""
        return self.rank == 0

    def sum_(self, values: Tensor) -> Tensor:
        """`values` becomes the sum over all ranks, the same bits on each; returned."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def max_(self, values: Tensor) -> Tensor:
        """`values` becomes the largest over all ranks, element by element; returned."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def counts(self, own: Sequence[int]) -> list[list[int]]:
        """The numbers of each rank; all have as many. They are told on the host."""
        if self.size == 1:
            return [list(own)]
        told = torch.empty(self.size, len(own), dtype=torch.int64)
        dist.all_gather(list(told.unbind(0)), torch.tensor(list(own), dtype=torch.int64), group=self.host)
        return told.tolist()

    def any(self, wish: bool) -> bool:
        """Whether some rank wishes it."""
        return any(told for (told,) in self.counts([wish]))

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all ranks, those of rank 0 first."""
        if self.size == 1:
            return rows
        counts = [count for (count,) in self.counts([len(rows)])]
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        told = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(told, padded)
        return torch.cat([each[:count] for each, count in zip(told, counts, strict=True)])

    def objects(self, own: Value) -> list[Value]:
        """What each rank has: anything small that can be pickled."""
        told: list[Any] = [own] * self.size
        if self.size > 1:
            dist.all_gather_object(told, own, group=self.host)
        return told

    def tell(self, value: Value | None, source: int = 0) -> Value:
        """The value of rank `source`, on all."""
        told: list[Any] = [value]
        if self.size > 1:
            dist.broadcast_object_list(told, source, group=self.host)
        found: Value = told[0]
        return found

    def show(self, values: Tensor, source: int) -> Tensor:
        """The values of rank `source`, on all, whose tensors are of the same shape; returned."""
        if self.size > 1:
            dist.broadcast(values, source)
        return values

    def led(self, make: Callable[[], Value]) -> Value:
        """What rank 0 makes, on all. Raises: what rank 0's `make` raises for people, on all."""
        if self.size == 1:
            return make()
        made: tuple[Value | None, UserError | OSError | None] = None, None
        if self.leads:
            try:
                made = make(), None
            except (UserError, OSError) as error:
                made = None, error
        value, fault = self.tell(made)
        if fault is not None:
            raise fault if self.leads else UserError(reason(fault))
        return value  # type: ignore[return-value]

    def agree(self, fault: str | None) -> str | None:
        """The first fault that a rank has found, with the rank; None where none has."""
        if self.size == 1:
            return fault
        found = ((rank, each) for rank, each in enumerate(self.objects(fault)) if each is not None)
        return next((f"rank {rank}: {each}" for rank, each in found), None)

    def all_to_all(self, rows: Tensor, counts_out: Sequence[int], counts_in: Sequence[int]) -> Tensor:
        """Send the first `counts_out[0]` rows to rank 0, the next to rank 1, ...; returns what came, rank 0's first.

        `counts_in` is known: `counts_out` of the others, for this rank.
        """
        if self.size == 1:
            return rows
        came = rows.new_empty(sum(counts_in), *rows.shape[1:])
        dist.all_to_all_single(came, rows.contiguous(), list(counts_in), list(counts_out))
        row_bytes = rows.element_size() * rows[:1].numel() if len(rows) else 0
        self.sent += row_bytes * (sum(counts_out) - counts_out[self.rank])
        return came

    def to_lead(self, rows: Tensor, source: int) -> Tensor:
        """The rows of rank `source`, on the host of rank 0; elsewhere those that were given. They are float32."""
        if source == 0 or self.rank not in (0, source):
            return rows.cpu()
        if self.rank == source:
            dist.send(torch.tensor(rows.shape), 0, group=self.host)
            dist.send(rows.cpu().contiguous(), 0, group=self.host)
            return rows
        shape = torch.empty(rows.dim(), dtype=torch.int64)
        dist.recv(shape, source, group=self.host)
        came = torch.empty(shape.tolist(), dtype=torch.float32)
        dist.recv(came, source, group=self.host)
        return came

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            dist.barrier(group=self.host)


ONE = Ranks()


def keeps_store() -> bool:
    """Whether torchrun keeps the store by which processes meet, which then outlives them."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def meeting_point(launch: Launch) -> dist.Store:
    """The store by which the processes meet: torchrun's, or that of rank 0. UserError where it is not to be reached."""
    address, port = (os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))
    if not (address and port.isdecimal()):
        raise UserError(f"MASTER_ADDR={address!r} and MASTER_PORT={port!r}: torchrun sets them to where the ranks meet")
    kept_here = launch.rank == 0 and not keeps_store()
    try:
        return dist.TCPStore(address, int(port), is_master=kept_here, timeout=MEETING, wait_for_workers=False)
    except (RuntimeError, OSError) as error:
        first = reason(error).splitlines()[0]
        raise UserError(f"rank {launch.rank} does not reach {address}:{port}, where the ranks meet: {first}") from error


def join(launch: Launch, device: torch.device, store: dist.Store) -> Ranks:
    """Make the process groups: NCCL between GPUs, gloo between hosts."""
    if launch.size == 1:
        return ONE
    on_gpu = device.type == "cuda"
    store.set_timeout(PATIENCE)
    # torchrun keeps one store for all generations of processes: without a prefix of their own, those that it starts
    # again may find the addresses of the dead there.
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=dist.PrefixStore(f"ranks/{launch.restarts}", store),
        rank=launch.rank,
        world_size=launch.size,
        timeout=PATIENCE,
        device_id=device if on_gpu else None,
    )
    host = dist.new_group(backend="gloo", timeout=PATIENCE) if on_gpu else None
    return Ranks(launch.rank, launch.size, device, host)


def leave(ranks: Ranks) -> None:
    """End the process groups."""
    if ranks.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def on_all(values: Tensor, ranks: Ranks) -> Tensor:
    """`values`, which all ranks have; their gradient becomes the sum of what each rank finds. The backward pass is a
    call of all ranks, too."""
    same: Tensor = _OnAll.apply(values, ranks)
    return same


class _OnAll(torch.autograd.Function):
    """The transpose of giving the same to all is to add up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.sum_(gradient.clone()), None


class Exchange(NamedTuple):
    """Which rows go where: how many to and from each rank."""

    ranks: Ranks
    counts_out: Sequence[int]
    counts_in: Sequence[int]

    def send(self, table: Tensor, differentiable: int) -> Tensor:
        """(M, C): the rows that came of the (N, C) that each rank sends. The gradient of the first `differentiable`
        columns comes home by the same way, exactly; the others have none.

        The backward pass is a call of all ranks, too.
        """
        came: Tensor = _Sent.apply(table, self, differentiable)
        return came

    def send_home(self, rows: Tensor) -> Tensor:
        """The other way, without gradient: rows beside those that came, to where these are from."""
        return self.ranks.all_to_all(rows, self.counts_in, self.counts_out)


class _Sent(torch.autograd.Function):
    """The transpose of a permutation of rows over ranks is its inverse."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, exchange: Exchange, differentiable: int) -> Tensor:
        ctx.exchange, ctx.differentiable = exchange, differentiable
        return exchange.ranks.all_to_all(table, exchange.counts_out, exchange.counts_in)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        home = ctx.exchange.send_home(gradient[:, : ctx.differentiable].contiguous())
        whole = home.new_zeros(len(home), gradient.shape[1])
        whole[:, : ctx.differentiable] = home
        return whole, None, None
