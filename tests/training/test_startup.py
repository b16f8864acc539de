"""The settings that a run starts with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from arguments import parse_train_options, to_json
from gaussian_renderer import device
from training.startup import read_options
from utils import output_dir

WORDS = ("-s", "nowhere", "-m", "nowhere")


def length(*words: str) -> int:
    return read_options([*WORDS, *words]).run.iterations


def test_a_run_that_nobody_gave_a_length_is_shorter_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert length("--device", "cpu") == 7_000 and length("--device", "cuda") == 30_000
    for fault, expected in (("torch finds no GPU", 7_000), (None, 30_000)):
        monkeypatch.setattr(device, "cuda_fault", lambda fault=fault: fault)
        assert length() == expected


def test_a_length_that_is_given_is_what_it_is() -> None:
    assert length("--device", "cpu", "--iterations", "30000") == 30_000
    assert length("--device", "cpu", "--iterations=9") == 9 and length("--device", "cuda", "--iterations", "7") == 7


def test_a_run_that_goes_on_keeps_its_length(tmp_path: Path) -> None:
    stored = parse_train_options([*WORDS, "--device", "cpu"])
    stored = replace(stored, run=replace(stored.run, iterations=12_345))
    output_dir.config_path(tmp_path).write_text(to_json(stored))
    assert read_options(["--resume", "-m", str(tmp_path)]).run.iterations == 12_345
