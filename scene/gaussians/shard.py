"""Which rows of a cloud a rank owns, where the cloud is spread over several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.distributed import Ranks


class Shard:
    """The rows of one rank.

    Each row of the cloud has an id, by which rows are ordered as they would be in the memory of one rank: splats of the
    same depth are drawn in this order, so that a picture does not depend on who owns what. Ids are never used twice.
    """

    def __init__(self, ranks: Ranks, ids: Tensor, created: int) -> None:
        """`ids`: (N,) int64, rising; `created`: ids below this have been given."""
        self.ranks = ranks
        self.take(ids, created)

    @classmethod
    def dealt(cls, ranks: Ranks, count: int, device: torch.device) -> Shard:
        """A cloud of `count` rows, dealt one by one: neighbors go to different ranks."""
        return cls(ranks, torch.arange(ranks.rank, count, ranks.size, device=device), count)

    @property
    def total(self) -> int:
        """How many rows the cloud has."""
        return sum(self.counts)

    @property
    def first(self) -> int:
        """How many rows the ranks before this one own."""
        return sum(self.counts[: self.ranks.rank])

    def take(self, ids: Tensor, created: int) -> None:
        """Own these rows from now on; called by all ranks."""
        self.ids, self.created = ids, created
        self.counts = [count for (count,) in self.ranks.counts([len(ids)])]
        self._among_all: Tensor | None = None

    def among_all(self) -> Tensor:
        """(N,) where the own rows stand among those of all ranks, by their ids; found once for as long as rows stay. A
        call of all ranks."""
        if self._among_all is None:
            self._among_all = self.places(torch.arange(len(self.ids), device=self.ids.device))[0]
        return self._among_all

    def places(self, rows: Tensor) -> tuple[Tensor, int]:
        """Where some own rows, (M,) rising indices which may repeat, stand among those that all ranks name, by their
        ids; and how many all are."""
        named = self.ranks.gather(self.ids[rows])
        order = named.argsort(stable=True)
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=order.device)
        counts = [count for (count,) in self.ranks.counts([len(rows)])]
        first = sum(counts[: self.ranks.rank])
        return places[first : first + len(rows)], len(order)

    def edit(self, keep: Tensor, parents: Sequence[Tensor]) -> None:
        """Keep some rows, (N,) bool, and get new ones behind all others: group by group, in each in the order of their
        parents, (A,) own rows, rising."""
        kept, created, new = self.ids[keep], self.created, list[Tensor]()
        for group in parents:
            places, count = self.places(group)
            new.append(created + places)
            created += count
        self.take(torch.cat([kept, *new]), created)
