"""Where a run computes: chosen, refused with reasons, and shown to the photos."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import render
import train
from gaussian_renderer import device
from gaussian_renderer.device import cuda_fault, device_text, use_device
from tests.helpers.ring import make_dataset
from utils.errors import UserError


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.device]]:
    """As if there were two GPUs and kernels for them, the second one current; yields those made current."""
    taken: list[torch.device] = []
    monkeypatch.setattr(device, "cuda_fault", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Card")
    yield taken


@pytest.mark.parametrize("wanted", ["tpu", "cuda:", "cuda:x", "0", "CPU", "cuda:0,1"])
def test_other_devices_are_refused(wanted: str) -> None:
    with pytest.raises(UserError, match="cpu, cuda or cuda:<number>"):
        use_device(wanted)


def test_the_cpu_is_always_there() -> None:
    assert use_device("cpu") == torch.device("cpu") and device_text(torch.device("cpu")).startswith("CPU, ")


def test_by_default_what_works(monkeypatch: pytest.MonkeyPatch, two_gpus: list[torch.device]) -> None:
    assert use_device("") == torch.device("cuda:1") and two_gpus == [torch.device("cuda:1")]
    monkeypatch.setattr(device, "cuda_fault", lambda: "there is none")
    assert use_device("") == torch.device("cpu")


def test_a_card_by_number(two_gpus: list[torch.device]) -> None:
    assert use_device("cuda:0") == torch.device("cuda:0") == two_gpus[0]
    assert device_text(use_device("cuda")) == "CUDA, NVIDIA Card"
    with pytest.raises(UserError, match="--device cuda:2 is not there: the GPUs are 0 to 1"):
        use_device("cuda:2")


@pytest.mark.parametrize(
    ("version", "available", "kernels", "words"),
    [
        (None, False, False, "built for the CPU alone"),
        ("13.0", False, True, "finds no GPU"),
        ("13.0", True, False, "without nvcc"),
        ("13.0", True, True, None),
    ],
)
def test_what_is_missing_for_a_gpu(
    version: str | None, available: bool, kernels: bool, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch._C, "_dispatch_has_kernel_for_dispatch_key", lambda *_: kernels)
    fault = cuda_fault()
    assert fault is None if words is None else fault is not None and words in fault


def test_photos_are_not_kept_on_a_gpu_that_does_not_train(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "data")
    with pytest.raises(UserError, match="--data_device cuda .* on the CPU it must be cpu"):
        train.main(["-s", str(dataset), "-m", str(tmp_path / "out"), "--device", "cpu", "--data_device", "cuda"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", [train.main, render.main])
def test_scripts_say_what_is_wrong(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cuda_fault", lambda: "torch finds no GPU")
    with pytest.raises(UserError, match=r"--device cuda does not work: torch finds no GPU; .*doctor .*--device cpu"):
        script(["-s", str(tmp_path), "-m", str(tmp_path / "out"), "--device", "cuda"])
    assert not (tmp_path / "out").exists()


def test_an_instruction_set_that_is_none_is_one_sentence() -> None:
    command = [sys.executable, "train.py", "-s", "data", "-m", "out"]
    done = subprocess.run(
        command, cwd=Path(train.__file__).parent, env={**os.environ, "DGR_ISA": "v9"}, capture_output=True, text=True
    )
    if device_text(torch.device("cpu")) == "CPU, portable":
        pytest.skip("this processor has one instruction set: DGR_ISA is not looked at")
    assert done.returncode == 2 and done.stderr.startswith('error: DGR_ISA is "v9"; this processor can do v1')
    assert done.stderr.count("\n") == 1
