"""The doctor: its advice for machines that are not ours, and what it says of this one."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from diff_gaussian_rasterization import checks, doctor, ops
from diff_gaussian_rasterization.doctor import Card, Facts, Trial, advice, report

CARD = Card("NVIDIA H200", (9, 0), 141 << 30)
GOOD = Facts(
    native_library="/somewhere/libdgr.so",
    instruction_set="v4",
    threads=8,
    cuda_build="13.0 sm_75 sm_80 sm_90 compute_90",
    nvcc="13.0 in /usr/local/cuda/bin/nvcc",
    cuda_is_off=False,
    torch="2.13.0+cu130",
    torch_cuda="13.0",
    torch_cards=1,
    driver=(13, 0),
    cards=(CARD,),
    trials=(Trial("cpu", (1e-14, 1e-6)), Trial("cuda:0", (1e-14, 1e-6))),
)
WITHOUT_CARD = replace(GOOD, torch_cuda=None, torch_cards=0, driver=None, cards=(), cuda_build="")


def card_of(major: int, minor: int) -> tuple[Card, ...]:
    return (replace(CARD, capability=(major, minor)),)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            replace(GOOD, torch="2.13.0+cpu", torch_cuda=None, torch_cards=0),
            r"CPU build.*--force-reinstall torch==2.13.0",
        ),
        (replace(GOOD, cuda_build="", nvcc=None), r"there is no nvcc: install the CUDA toolkit .* CUDA_HOME"),
        (replace(GOOD, cuda_build="", cuda_is_off=True), r"since DGR_CUDA is 0: unset it"),
        (replace(GOOD, cuda_build=""), r"before there was an nvcc: install it anew"),
        (replace(GOOD, driver=(12, 4), torch_cuda="12.6"), r"library was built with CUDA 13.0 .* up to 12.4: update"),
        (
            replace(GOOD, driver=(12, 4), cuda_build="12.4 sm_90"),
            r"torch was built with CUDA 13.0 .* a torch for CUDA 12",
        ),
        (replace(GOOD, torch_cards=0), r"finds no card: `python -c"),
        (replace(GOOD, cards=card_of(7, 0)), r"no code for NVIDIA H200 .* TORCH_CUDA_ARCH_LIST=7.0"),
        (replace(GOOD, cards=card_of(12, 0), cuda_build="13.0 sm_90"), r"no code for .*it has sm_90.*_LIST=12.0"),
        (replace(GOOD, cards=card_of(9, 1), cuda_build="13.0 sm_90a"), r"no code for .*it has sm_90a.*_LIST=9.1"),
        (replace(GOOD, trials=(Trial("cpu", (1e-3, 1e-6)),)), r"cpu computes something else .* please report"),
        (replace(GOOD, trials=(Trial("cuda:0", failure="no kernel image"),)), r"cuda:0 failed: no kernel image"),
    ],
)
def test_advice(facts: Facts, said: str) -> None:
    (line,) = advice(facts)
    assert re.search(said, line), line


@pytest.mark.parametrize(
    "facts",
    [
        GOOD,
        WITHOUT_CARD,
        replace(WITHOUT_CARD, cuda_build=GOOD.cuda_build),
        replace(WITHOUT_CARD, nvcc=None, cuda_is_off=True),
        replace(GOOD, cards=card_of(8, 6)),  # runs sm_80's code
        replace(GOOD, cards=card_of(12, 0)),  # translates compute_90
        replace(GOOD, driver=(13, 2)),
        replace(GOOD, driver=(12, 4), torch_cuda="12.6", cuda_build="12.8 sm_90"),
    ],
)
def test_nothing_to_mend(facts: Facts) -> None:
    assert advice(facts) == []
    lines = report(facts)
    assert 8 <= len(lines) < 20 and all(len(line) < 200 for line in lines)


class FakeDriver:
    """libcuda with two cards, of which only what the doctor asks for answers."""

    def __init__(self, name: str) -> None:
        assert name == "libcuda.so.1"

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDriverGetVersion(self, version: Any) -> None:
        version._obj.value = 12080

    def cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = 2

    def cuDeviceGet(self, device: Any, index: int) -> None:
        device._obj.value = 10 + index

    def cuDeviceGetName(self, name: Any, size: int, device: int) -> None:
        name.value = f"card {device}".encode()[:size]

    def cuDeviceTotalMem_v2(self, memory: Any, device: int) -> None:
        memory._obj.value = device << 30

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> None:
        value._obj.value = {75: 8, 76: 9}[attribute]


def test_the_driver_is_asked_for_its_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.ctypes, "CDLL", FakeDriver)
    cards = tuple(Card(f"card {device}", (8, 9), device << 30) for device in (10, 11))
    assert doctor.find_cards() == ((12, 8), cards)
    monkeypatch.setattr(FakeDriver, "cuInit", lambda *_: 100)  # no device
    assert doctor.find_cards() == ((12, 8), ())


def test_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    facts = doctor.gather()
    assert facts.trials[0].device == "cpu" and facts.trials[0].fits() and max(facts.trials[0].errors) > 0
    assert doctor.main() == (1 if advice(facts) else 0)
    printed = capsys.readouterr().out
    assert facts.native_library in printed and torch.__version__ in printed and len(printed.splitlines()) < 40


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, v: torch.Tensor) -> torch.Tensor:
            return 1.001 * v

    right = doctor.rasterize
    monkeypatch.setattr(doctor, "rasterize", lambda **given: right(**{**given, "quats": Wrong.apply(given["quats"])}))
    trial = doctor.try_device("cpu")
    assert trial.errors[0] == pytest.approx(1e-3, rel=0.1) and not trial.fits()


def test_a_device_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("blend on CUDA: no kernel image")

    monkeypatch.setattr(doctor, "rasterize", fail)
    assert doctor.try_device("cpu").failure == "blend on CUDA: no kernel image"


# ---- what sends people to the doctor


def test_a_library_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = SimpleNamespace(device=torch.device("cuda", 1))
    monkeypatch.setattr(ops, "cuda_build", lambda: "13.0 sm_90")
    checks.check_device("means", tensor)
    monkeypatch.setattr(ops, "cuda_build", lambda: "")
    with pytest.raises(ValueError, match=r"means is on device cuda:1; .* without CUDA: `python -m .*\.doctor`"):
        checks.check_device("means", tensor)


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (RuntimeError("torch could not allocate: CUDA out of memory. Tried to allocate 2 GiB"), torch.OutOfMemoryError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
        (RuntimeError("an illegal memory access"), RuntimeError),
        (ValueError("out of memory, says the user"), ValueError),
    ],
)
def test_memory_errors_are_torchs(raised: Exception, seen: type[Exception]) -> None:
    @ops.memory_errors
    def work() -> None:
        raise raised

    for _ in range(2):
        with pytest.raises(seen, match=re.escape(str(raised))) as caught:
            work()
        assert type(caught.value) is seen


def test_an_instruction_set_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse() -> str:
        raise RuntimeError('DGR_ISA is "v9"; this processor can do v1')

    monkeypatch.setattr(doctor.ops, "instruction_set", refuse)
    assert doctor.main() == 1
    assert capsys.readouterr().out == '- DGR_ISA is "v9"; this processor can do v1\n'
