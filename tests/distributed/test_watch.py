"""What a rank says when it fails because another has died."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from training.distributed import watch
from training.distributed.watch import Watch, together
from utils.distributed import Launch, meeting_point
from utils.errors import UserError


def a_watch(monkeypatch: pytest.MonkeyPatch) -> tuple[Watch, dist.Store]:
    """Of rank 0 of two, and the store by which it knows of the other."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    return Watch(Launch(0, 2), store), store


def test_a_rank_that_has_not_begun_has_longer_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    alive, store = a_watch(monkeypatch)
    with alive:
        assert alive._ended() == ""
        now += watch.SILENCE + 1
        assert alive._ended() == ""
        dist.PrefixStore("watch/0", store).set("sign/1", "here")
        assert alive._ended() == ""
        now += watch.SILENCE + 1
        assert alive._ended() == "rank 1 has not answered for 40 seconds"


def test_where_no_store_is_the_rank_says_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, _ = a_watch(monkeypatch)
    with alive:
        monkeypatch.setattr(alive, "_told", Mock(side_effect=RuntimeError("Connection reset by peer")))
        assert alive.fail(UserError("no photo is left")) == "rank 0: no photo is left"


def test_torchrun_is_told_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file that it has its last lines from, by its own reader."""
    _, _store = a_watch(monkeypatch)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(UserError, match="no photo is left"), together(Launch(0, 2)):
            raise UserError("no photo is left")
        assert (
            signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        )  # by which torchrun would end it before it has said so
    finally:
        signal.signal(signal.SIGTERM, before)
    told = ProcessFailure(local_rank=0, pid=1, exitcode=2, error_file=str(tmp_path / "error.json"))
    said = str(ChildFailedError("train.py", {0: told}))
    assert "traceback : rank 0: no photo is left" in said and told.timestamp > 0


@pytest.mark.parametrize(("address", "port"), [("", "29500"), ("127.0.0.1", "here")])
def test_a_meeting_point_that_is_none_is_named(address: str, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", address)
    monkeypatch.setenv("MASTER_PORT", port)
    with pytest.raises(UserError, match=f"MASTER_ADDR='{address}' and MASTER_PORT='{port}'"):
        meeting_point(Launch(0, 2))


def test_a_meeting_point_where_nobody_is_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.distributed.MEETING", timedelta(milliseconds=200))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(UserError, match="rank 1 does not reach 127.0.0.1:1, where the ranks meet"):
        meeting_point(Launch(1, 2))


@pytest.mark.slow
def test_a_rank_that_died_just_after_its_last_sign_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BEAT", 0.2)
    monkeypatch.setattr(watch, "GRACE", 2.0)
    alive, store = a_watch(monkeypatch)
    with alive:
        dist.PrefixStore("watch/0", store).set("sign/1", "its last")  # seen by the next beat, after the failure
        said = alive.fail(RuntimeError("Connection closed by peer"))
    assert said == "rank 0 stops, since rank 1 has ended without a word (killed?)"
