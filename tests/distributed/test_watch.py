"""What a rank says when it fails because another has died."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from training.distributed import watch
from training.distributed.watch import Watch
from utils.distributed import Launch


@pytest.mark.slow
def test_a_rank_that_died_just_after_its_last_sign_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.2)
    monkeypatch.setattr(watch, "GRACE", 2.0)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    with Watch(Launch(0, 2)) as alive:
        dist.PrefixStore("watch/0", store).set("sign/1", "its last")  # seen by the next beat, after the failure
        said = alive.fail(RuntimeError("Connection closed by peer"))
    assert said == "rank 0 stops, since rank 1 has ended without a word (killed?)"
