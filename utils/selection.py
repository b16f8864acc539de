"""The first of many by a key, where the many are spread over ranks: by sums over all ranks, and no rank sees all."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.distributed import Ranks

DIGIT, DIGITS = 8, 256  # bits of a key that a reduction decides
ID_BITS = 31
PARTS = 2**50  # that shares of a sum are counted in: whole numbers add up to the same in any order


def keys_of(values: Tensor, ids: Tensor, descending: bool = False) -> Tensor:
    """(N,) int64 ≥ 0 that order as the float32 `values`, and among equal ones as the `ids`, below 2³¹."""
    bits = (values.float() + 0.0).view(torch.int32).long()  # + 0: there is a 0 with a minus
    order = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits) + 2**31
    return ((2**32 - 1 - order if descending else order) << ID_BITS) | ids


def first_by_key(keys: Tensor, amounts: Tensor, limit: int, ranks: Ranks) -> Tensor:
    """(N,) bool: the rows of the smallest keys, over all ranks, whose `amounts` together are at most `limit`.

    keys (N,) int64 ≥ 0, each once among all ranks; amounts (N,) int64 ≥ 0.
    """
    chosen, open_ = torch.zeros_like(keys, dtype=torch.bool), torch.ones_like(keys, dtype=torch.bool)
    for shift in range(64 - DIGIT, -1, -DIGIT):
        digits = (keys >> shift) & (DIGITS - 1)
        sums = torch.zeros(DIGITS, dtype=torch.int64, device=keys.device)
        ranks.sum_(sums.index_add_(0, digits[open_], amounts[open_]))
        within = int((sums.cumsum(0) <= limit).sum())
        chosen |= open_ & (digits < within)
        if within == DIGITS:
            break
        limit -= int(sums[:within].sum())
        open_ &= digits == within
    return chosen


def top_k(values: Tensor, candidates: Tensor, count: int, ids: Tensor, ranks: Ranks) -> Tensor:
    """(N,) bool: of all ranks' candidates the `count` with the highest values, ties by id."""
    keys = keys_of(values, ids, descending=True)
    return first_by_key(keys, candidates.long(), max(count, 0), ranks) & candidates


def first_with_share(keys: Tensor, amounts: Tensor, share: float, ranks: Ranks) -> Tensor:
    """(N,) bool: the rows of the smallest keys whose `amounts`, (N,) ≥ 0, are together at most this share of all.

    Amounts are counted in 2⁻⁵⁰ of their sum.
    """
    total = float(ranks.sum_(amounts.double().sum().reshape(1)))
    if total <= 0:
        return torch.ones_like(keys, dtype=torch.bool)
    parts = (amounts.double() * (PARTS / total)).round().long()
    return first_by_key(keys, parts, int(share * PARTS), ranks)


def median_and_largest(values: Tensor, ids: Tensor, total: int, ranks: Ranks) -> tuple[float, float]:
    """Of all ranks' values, `total` > 0 in number: the lower median, as torch's, and the largest."""
    lower = first_by_key(keys_of(values, ids), torch.ones_like(ids), (total - 1) // 2 + 1, ranks)
    nothing = values.new_tensor(-torch.inf).reshape(1)
    ends = [torch.cat([each, nothing]).max() for each in (values[lower], values)]
    median, largest = ranks.max_(torch.stack(ends)).tolist()
    return median, largest
