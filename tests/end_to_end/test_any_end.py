"""Whatever ends a run, its last good state is left and goes on to the same bits; chatter ends none."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from tests.end_to_end.test_late_and_full import failing
from tests.end_to_end.test_train import run
from tests.helpers.ring import BUSY, make_dataset
from training import batch, interrupt, loss, outputs, run_logger
from training.checkpoint import save_checkpoint
from utils import files
from utils.errors import UserError
from utils.image_io import write_png

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12


@pytest.fixture(scope="module")
def straight(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The PLY of the run that nothing stops."""
    return run(dataset, tmp_path_factory.mktemp("straight") / "out", BUSY, STEPS).read_bytes()


def full_disk(*arguments: Any, **named: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def at_step(step: int, act: Callable[[], object]) -> Callable[..., Any]:
    """`batch.render_batch`, before whose `step`-th call something happens."""
    honest, calls = batch.render_batch, 0

    def render(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == step:
            act()
        return honest(*arguments, **named)

    return render


ERRORS = [
    UserError("photo 03.png cannot be decoded as an image"),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("an illegal access"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__} {error}"[:30])
def test_any_error_leaves_the_state(
    error: BaseException,
    dataset: Path,
    straight: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(batch, "render_batch", failing(batch.render_batch, 8, error))
        with pytest.raises(BaseException) as raised:
            run(dataset, model, BUSY, STEPS)
    said = f"{raised.value}\n{capsys.readouterr().err}"
    assert f"python train.py -m {model} --resume" in said and f"{model / 'chkpnt7.pth'} holds the state" in said
    assert (model / "point_cloud/iteration_7/point_cloud.ply").stat().st_size > 1000
    train.main(["-m", str(model), "--resume", "--quiet"])
    assert (model / f"point_cloud/iteration_{STEPS}/point_cloud.ply").read_bytes() == straight


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_the_state(
    name: str, dataset: Path, straight: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, number = tmp_path / "out", signal.Signals[name]
    before = signal.signal(number, signal.SIG_DFL)  # whatever starts the tests may ignore it
    try:
        with monkeypatch.context() as patched, pytest.raises(SystemExit) as raised:
            patched.setattr(batch, "render_batch", at_step(5, lambda: signal.raise_signal(number)))
            run(dataset, model, BUSY, STEPS)
    finally:
        signal.signal(number, before)
    assert raised.value.code == 130 and (model / "chkpnt5.pth").exists()
    train.main(["-m", str(model), "--resume", "--quiet"])
    assert (model / f"point_cloud/iteration_{STEPS}/point_cloud.ply").read_bytes() == straight


def pressed_twice() -> None:
    """Ctrl-C, and once more before it was heard."""
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def interrupted_twice(model: Path, dataset: Path, answer: str, patched: pytest.MonkeyPatch) -> None:
    """A run in whose fifth step Ctrl-C is pressed twice, and `answer` given to what it asks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    patched.setattr(batch, "render_batch", at_step(5, pressed_twice))
    patched.setattr(interrupt, "ask", lambda question: answer)
    try:
        run(dataset, model, f"{BUSY} --eval", STEPS)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("answer", ["", "\n", "stop\n"])
def test_ctrl_c_twice_loses_nothing(
    answer: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as raised:
        interrupted_twice(tmp_path / "out", dataset, answer, monkeypatch)
    assert raised.value.code == 130 and (tmp_path / "out/chkpnt5.pth").exists()
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "interrupted"


def test_ctrl_c_twice_may_finish_now(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_twice(tmp_path / "out", dataset, "F\n", monkeypatch)
    state = json.loads((tmp_path / "out/run.json").read_text())
    assert state["status"] == "finished" and 5 < state["iterations"] < STEPS and (tmp_path / "out/chkpnt5.pth").exists()
    assert (tmp_path / f"out/point_cloud/iteration_{state['iterations']}/point_cloud.ply").exists()


def test_ctrl_c_twice_may_go_on(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(dataset, tmp_path / "whole", f"{BUSY} --eval", STEPS).read_bytes()
    interrupted_twice(tmp_path / "out", dataset, "g\n", monkeypatch)
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "finished"
    assert (tmp_path / f"out/point_cloud/iteration_{STEPS}/point_cloud.ply").read_bytes() == whole


def test_the_third_ctrl_c_does_not_wait() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupt.Interrupt(), pytest.raises(KeyboardInterrupt):
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_question_is_asked_on_a_terminal(dataset: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    code = (
        "import signal, sys; sys.argv = ['train.py']\n"
        "from tests.end_to_end.test_any_end import at_step, pressed_twice\n"
        "import train; from training import batch\n"
        "batch.render_batch = at_step(5, pressed_twice)\n"
        f"train.main(['-s', {str(dataset)!r}, '-m', {str(tmp_path / 'out')!r}, '--iterations', '40', '--quiet'])"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while b"goes on as before" not in shown and run.poll() is None:
        shown += os.read(master, 1000)
    os.write(master, b"f\n")
    assert run.wait(timeout=120) == 0 and b"goes on as before" in shown
    os.close(master)
    assert json.loads((tmp_path / "out/run.json").read_text())["iterations"] < 40


def test_under_nohup_a_closed_terminal_changes_nothing(
    dataset: Path, straight: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(batch, "render_batch", at_step(5, lambda: signal.raise_signal(signal.SIGHUP)))
        assert run(dataset, tmp_path / "out", BUSY, STEPS).read_bytes() == straight
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_named_nan_leaves_the_state_before_it(
    dataset: Path, straight: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, calls, model = loss.photometric, 0, tmp_path / "out"

    def faulty(image: torch.Tensor, *others: Any) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        return honest(image * (float("nan") if calls >= 8 else 1.0), *others)

    with monkeypatch.context() as patched, pytest.raises(UserError, match=r"iteration 8: [^\n]* is nan [\s\S]*chkpnt7"):
        patched.setattr(loss, "photometric", faulty)
        run(dataset, model, BUSY, STEPS)
    train.main(["-m", str(model), "--resume", "--quiet"])
    assert (model / f"point_cloud/iteration_{STEPS}/point_cloud.ply").read_bytes() == straight


def test_a_state_that_is_not_finite_is_not_kept(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first_state, states = train.first_state, list[Any]()

    def kept(*arguments: Any) -> Any:
        states.append(first_state(*arguments))
        return states[-1]

    def spoil() -> None:
        states[0].gaussians.means.detach()[3] = torch.nan
        raise UserError("the end")

    monkeypatch.setattr(train, "first_state", kept)
    monkeypatch.setattr(batch, "render_batch", at_step(8, spoil))
    words = r"the end\n.*after 7 iterations was not kept.*means.*the newest checkpoint is .*chkpnt4.pth"
    with pytest.raises(UserError, match=words):
        run(dataset, tmp_path / "out", "--checkpoint_iterations 4")
    assert [path.name for path in (tmp_path / "out").glob("chkpnt*")] == ["chkpnt4.pth"]


# ---- a full disk


def full_for(*parts: str) -> Callable[[int], None]:
    """`os.fsync` of a disk that has no room for files in whose path is one of `parts`."""
    honest = os.fsync

    def fsync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if any(part in path for part in parts):
            full_disk()
        honest(descriptor)

    return fsync


@pytest.mark.skipif(sys.platform != "linux", reason="finds the name of an open file in /proc")
def test_a_full_disk_costs_the_file_and_leaves_the_older_one(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "out"
    flags = f"--save_iterations 3 6 --checkpoint_iterations 3 6 --iterations {STEPS}"
    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full_for("_6/", "chkpnt6"))
        train.main(["-s", str(dataset), "-m", str(model), *flags.split()])
    shown = capsys.readouterr().out
    assert shown.count("No space left on device; training goes on without this file") == 2
    assert f"{model / 'chkpnt6.pth'}: No space" in shown
    names = {path.parent.name for path in model.glob("point_cloud/*/point_cloud.ply")}
    assert names == {"iteration_3", f"iteration_{STEPS}"} and not (model / "chkpnt6.pth").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the name of an open file in /proc")
def test_the_last_point_cloud_is_needed(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "out"
    with monkeypatch.context() as patched, pytest.raises(UserError) as raised:
        patched.setattr(files.os, "fsync", full_for("point_cloud.ply"))
        run(dataset, model, iterations=STEPS)
    text = str(raised.value)
    assert text.startswith(f"{model}/point_cloud/iteration_{STEPS}/point_cloud.ply: No space left on device\n")
    assert f"chkpnt{STEPS}.pth holds the state" in text


def test_a_checkpoint_on_a_full_disk_is_a_system_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.tempfile, "mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "x")))
    with pytest.raises(OSError, match="No space left") as raised:
        save_checkpoint(tmp_path / "a.pth", {"x": torch.zeros(100_000)})
    assert raised.value.filename == str(tmp_path / "a.pth")


# ---- chatter


@pytest.mark.parametrize("kind", ["preview", "evaluation", "renders", "pages"])
def test_chatter_is_one_warning(
    kind: str,
    dataset: Path,
    straight: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module, name = {
        "preview": (run_logger, "write_png"),
        "evaluation": (outputs, "measure"),
        "renders": (outputs, "render_views"),
        "pages": (outputs, "write_summary"),
    }[kind]
    monkeypatch.setattr(module, name, full_disk)
    monkeypatch.setattr(run_logger, "PREVIEWS", (2, 4))
    flags = f"--iterations {STEPS} --test_iterations 3 6 {BUSY}"
    flags += " --eval" if kind == "evaluation" else ""
    train.main(["-s", str(dataset), "-m", str(tmp_path / "out"), *flags.split()])
    shown = capsys.readouterr().out
    assert shown.count("No space left on device") == 1 and "warning: " in shown
    ply = tmp_path / f"out/point_cloud/iteration_{STEPS}/point_cloud.ply"
    assert ply.exists() and (kind == "evaluation" or ply.read_bytes() == straight)


def test_a_full_disk_under_the_log_is_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with run_logger.RunLogger(tmp_path, 300) as report:
        report._log.close()
        report._log = open("/dev/full", "w")  # noqa: SIM115
        for iteration in range(1, 301):
            report.step(iteration, {"loss": 1.0}, 10)
    assert capsys.readouterr().out.count("writing metrics.jsonl failed") == 1


def test_a_bad_test_photo_costs_itself(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(tmp_path / "data")
    spoilt = data / "images/08.png"
    monkeypatch.setattr(
        batch, "render_batch", at_step(1, lambda: spoilt.write_text("no photo"))
    )  # after the scene was read
    train.main(["-s", str(data), "-m", str(tmp_path / "out"), "--eval", *"--iterations 6 --test_iterations 3".split()])
    shown = capsys.readouterr().out
    assert shown.count("warning: 08.png is not measured") == 1 and shown.count("(1 view)") >= 2
    assert json.loads((tmp_path / "out/results.json").read_text())["ours_6"]["views"] == 1
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "finished"


def test_masks_that_hide_everything_give_no_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = make_dataset(tmp_path / "data"), tmp_path / "out"
    for photo in (data / "images").iterdir():
        write_png(data / "masks" / photo.name, np.zeros((36, 48), np.uint8))
    train.main(["-s", str(data), "-m", str(model), "--eval", *"--iterations 3 --test_iterations 2".split()])
    results = json.loads((model / "results.json").read_text())["ours_3"]
    assert results["PSNR"] is None and results["SSIM"] is None and results["views_hidden"] == 2
    shown = capsys.readouterr().out
    assert shown.count("nothing to measure") == 3 and "the masks leave no pixel of 2 of 2 views" in shown


@pytest.mark.parametrize("screen", [">/dev/full", "| head -1", ">&- 2>&-"])
def test_a_screen_that_is_gone_ends_no_run(screen: str, dataset: Path, tmp_path: Path) -> None:
    model = tmp_path / "out"
    command = f"set -o pipefail; {sys.executable} train.py -s {dataset} -m {model} --iterations 3 {screen}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert (model / "point_cloud/iteration_3/point_cloud.ply").exists() and (model / "report.html").exists()
    assert ("stdout cannot be written to" in done.stderr) == (">&-" not in screen)


# ---- what the system refuses


def test_a_disk_without_room_for_the_first_file_is_one_sentence(dataset: Path, tmp_path: Path) -> None:
    command = f"ulimit -f 0; {sys.executable} -B train.py -s {dataset} -m {tmp_path / 'out'} --iterations 3"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'out'}/") and done.stderr.endswith(": File too large\n")


def test_a_folder_below_a_file_is_refused_before_the_dataset_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file"):
        train.main(["-s", "nowhere", "-m", str(tmp_path / "file/out")])
