"""The threads behind the CPU's operators: a C++ program that needs no torch, and how many they are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from diff_gaussian_rasterization import get_num_threads, set_num_threads
from gaussian_renderer.threads import threads_for_rasterizer
from tests.rasterizer.scenes import random_scene
from tests.rasterizer.test_determinism import assert_same_bits, everything

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "submodules" / "diff-gaussian-rasterization" / "csrc"
FILES = (str(HERE / "check_thread_pool.cpp"), str(CSRC / "cpu" / "thread_pool.cpp"))
COMPILE = ("g++", "-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{CSRC}")


def compiled(folder: Path, *flags: str) -> str:
    program = str(folder / "check_thread_pool")
    subprocess.run([*COMPILE, *flags, *FILES, "-o", program], check=True)
    return program


def test_the_pool_keeps_its_promises(tmp_path: Path) -> None:
    result = subprocess.run([compiled(tmp_path), "2000"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(" ok ") == 7, result.stdout


@pytest.mark.slow
def test_the_pool_has_no_race(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-fsanitize=thread")
    result = subprocess.run([program, "500", "without forks"], capture_output=True, text=True, timeout=300)
    if "unexpected memory mapping" in result.stderr:
        pytest.skip("ThreadSanitizer does not work with this kernel's address space")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(" ok ") == 6 and "WARNING" not in result.stderr, result.stderr


def test_the_number_of_threads_is_torchs_unless_said_otherwise() -> None:
    torch.set_num_threads(3)
    assert get_num_threads() == 3
    try:
        set_num_threads(2)
        torch.set_num_threads(1)
        assert get_num_threads() == 2
    finally:
        set_num_threads(None)
    assert get_num_threads() == 1
    with pytest.raises(ValueError, match="count is 0; it must be at least 1, or None"):
        set_num_threads(0)


def test_training_leaves_torch_one_thread_and_puts_it_back() -> None:
    torch.set_num_threads(3)
    with threads_for_rasterizer():
        assert (get_num_threads(), torch.get_num_threads()) == (3, 1)
    assert (get_num_threads(), torch.get_num_threads()) == (3, 3)


def test_a_forked_child_renders_the_same_bits() -> None:
    scene = random_scene(1, n=300, width=70, height=50)
    expected = everything(scene, torch.float32, 2)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert_same_bits(everything(scene, torch.float32, 2), expected, "in a forked child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
