"""Exposures change colors as graphdeco's file says, have exact gradients, keep their mean, and survive a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import render
import train
from arguments import ExposureOptions
from tests.end_to_end.test_train import run
from tests.helpers.faults import BadGradient
from training.checkpoint import load_checkpoint, save_checkpoint
from training.exposure import Exposure
from training.gradient_audit import audit, audit_table
from utils.errors import UserError
from utils.losses.photometric import photometric

CPU, TRUE = torch.device("cpu"), torch.tensor(True)
NAMES = ("a.png", "b.png", "c.png")


def exposure(**options: Any) -> Exposure:
    return Exposure(NAMES, ExposureOptions(**options), CPU)


def picture(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(seed))


def test_the_first_exposure_changes_nothing_to_the_bit() -> None:
    assert torch.equal(exposure().apply(picture(), "b.png"), picture())


def test_colors_are_multiplied_from_the_left_as_graphdeco_has_it(tmp_path: Path) -> None:
    learned = exposure()
    learned.matrices.data[1] = torch.tensor([[0.5, 0.1, 0.0, 0.01], [0.0, 2.0, 0.2, 0.02], [0.3, 0.0, 1.0, -0.5]])
    learned.write(tmp_path)
    stored = json.loads((tmp_path / "exposure.json").read_text())
    assert list(stored) == list(NAMES)
    matrix = torch.tensor(stored["b.png"])
    expected = (picture().permute(1, 2, 0) @ matrix[:3, :3]).permute(2, 0, 1) + matrix[:3, 3, None, None]
    shown = learned.apply(picture(), "b.png")
    assert torch.allclose(shown, expected, atol=1e-6)
    assert shown.min() < 0 and shown.max() > 1  # nothing is clamped
    assert torch.equal(learned.apply(picture(), "a.png"), picture())


def test_the_gradient_is_exact() -> None:
    learned = exposure()
    target = picture(1)

    def loss(color: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        learned.parameters.values["exposures"] = matrices  # type: ignore[assignment]
        return (learned.apply(color, "b.png") - target.double()).square().mean()

    matrices = (torch.eye(3, 4).repeat(3, 1, 1) + 0.1 * torch.rand(3, 3, 4)).double().requires_grad_()
    color = picture().double().requires_grad_()
    assert torch.autograd.gradcheck(loss, (color, matrices))
    by_color, by_matrices = torch.autograd.grad(loss(color, matrices), (color, matrices))
    assert by_color.abs().min() > 0 and by_matrices[1].abs().min() > 1e-4 and not by_matrices[0].any()


@pytest.mark.usefixtures("one_thread")
def test_the_gradient_is_the_same_for_any_number_of_threads() -> None:
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        learned = exposure()
        color = torch.rand(3, 300, 400, generator=torch.Generator().manual_seed(2))
        learned.apply(color, "a.png").square().sum().backward()
        found.append(learned.matrices.grad)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_it_finds_the_exposure_of_each_photo_and_keeps_the_mean() -> None:
    """Three photos of one picture, with gains whose mean is 1: the picture stays as it is."""
    learned = exposure(exposure_lr_init=0.02, exposure_lr_final=0.0005)
    gains = {"a.png": 0.8, "b.png": 1.3, "c.png": 0.9}
    for iteration in range(1, 401):
        name = NAMES[iteration % 3]
        photometric(learned.apply(0.6 * picture(), name), gains[name] * 0.6 * picture())["l1"].backward()
        learned.step(iteration, 400, TRUE)
        assert torch.allclose(learned.matrices.mean(dim=0), torch.eye(3, 4), atol=1e-6)
    for row, name in enumerate(NAMES):
        shown = learned.apply(0.6 * picture(), name)
        assert (shown - gains[name] * 0.6 * picture()).abs().mean() < 0.004, name
        assert learned.matrices[row].diagonal().mean().item() == pytest.approx(gains[name], abs=0.05)


def test_the_learning_rate_is_graphdecos() -> None:
    learned = exposure()
    assert [learned.rate(step, 100) for step in (0, 50, 100)] == pytest.approx([0.01, 0.01**0.5 * 0.001**0.5, 0.001])
    delayed = exposure(exposure_lr_delay_steps=10, exposure_lr_delay_mult=0.1)
    assert delayed.rate(0, 100) == pytest.approx(0.001)
    assert delayed.rate(10, 100) == pytest.approx(learned.rate(10, 100))
    assert delayed.rate(5, 100) == pytest.approx(learned.rate(5, 100) * (0.1 + 0.9 * 0.5**0.5))


def test_a_step_that_is_not_finite_moves_nothing() -> None:
    learned = exposure()
    BadGradient.apply(learned.apply(torch.rand(3, 30, 40), "a.png")).sum().backward()
    assert learned.matrices.grad is not None and learned.matrices.grad.isnan().any()
    learned.step(1, 100, torch.tensor(False))
    assert torch.equal(learned.matrices, torch.eye(3, 4).repeat(3, 1, 1)) and learned.parameters.is_finite()


def test_the_audit_shows_the_exposure_of_a_run_that_learns_it() -> None:
    learned = exposure()
    terms = photometric(learned.apply(picture(), "a.png"), picture(1))
    rows = audit(terms, {"l1": 0.8, "dssim": 0.2}, learned.parameters.values)
    (by_matrices,) = torch.autograd.grad(terms["l1"], [learned.matrices])
    assert rows[0].gradients == {"exposure": pytest.approx(0.8 * by_matrices.norm().item(), rel=1e-5)}
    assert "exposure" in audit_table(rows).splitlines()[0] and "xyz" not in audit_table(rows)


# ---- runs

ALL = "--exposure on --refine_poses --refine_poses_from_iter 2"


@pytest.fixture(scope="module")
def whole(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps with all that is learned of photos, and a checkpoint after 6."""
    model = tmp_path_factory.mktemp("model") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.outputs.write_summary", lambda folder: [])
        patch.setattr("training.held_out_poses.STEPS", 3)
        run(dataset, model, f"--eval --checkpoint_iterations 6 {ALL}", 12)
    return model


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, without_pages: None) -> None:
    monkeypatch.setattr("training.held_out_poses.STEPS", 3)


@pytest.mark.slow
def test_a_run_leaves_its_exposures_and_poses(whole: Path) -> None:
    exposures = json.loads((whole / "exposure.json").read_text())
    poses = json.loads((whole / "poses_refined.json").read_text())
    assert list(exposures) == list(poses) and len(poses) == 7
    assert (
        max(entry["distance"] for entry in poses.values()) > 0 and poses["01.png"]["before"] != poses["01.png"]["after"]
    )
    shown = {each["img_name"]: each for each in json.loads((whole / "cameras.json").read_text())}
    after = np.array(poses["03.png"]["after"])
    assert np.allclose(shown["03.png"]["position"], -after[:3, :3].T @ after[:3, 3], atol=1e-12)
    entry = json.loads((whole / "results.json").read_text())["ours_12"]
    assert entry["cc_PSNR"] >= entry["PSNR"] - 0.01 and entry["refined_poses"]["PSNR"] > 0
    views = json.loads((whole / "test/ours_12/refined_poses.json").read_text())["views"]
    assert list(views) == ["00.png", "08.png"] and views["00.png"]["degrees"] > 0
    assert json.loads((whole / "run.json").read_text())["corrections"] == {
        "exposure": True,
        "poses": True,
        "reason": "",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_resumed_run_leaves_the_same_bits(dataset: Path, whole: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    run(dataset, again, f"--eval --start_checkpoint {whole / 'chkpnt6.pth'} {ALL}", 12)
    for name in ("exposure.json", "poses_refined.json", "point_cloud/iteration_12/point_cloud.ply"):
        assert (again / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_by_itself_a_run_goes_on_as_before(dataset: Path, whole: Path, tmp_path: Path) -> None:
    """Also from a checkpoint of before there were exposures: it has none."""
    flags = f"--eval --start_checkpoint {whole / 'chkpnt6.pth'}"
    run(dataset, tmp_path / "on", f"{flags} --refine_poses --refine_poses_from_iter 2", 12)
    assert (tmp_path / "on/exposure.json").read_bytes() == (whole / "exposure.json").read_bytes()
    old = load_checkpoint(whole / "chkpnt6.pth")
    del old["corrections"]
    save_checkpoint(tmp_path / "chkpnt6.pth", old)
    run(dataset, tmp_path / "old", f"--eval --start_checkpoint {tmp_path / 'chkpnt6.pth'}", 8)
    assert not (tmp_path / "old/exposure.json").exists()
    with pytest.raises(
        UserError, match="--exposure on: .* made without, perhaps by an older version; go on with --exposure off"
    ):
        run(dataset, tmp_path / "x", f"--eval --start_checkpoint {tmp_path / 'chkpnt6.pth'} --exposure on", 8)
    with pytest.raises(UserError, match="made with --refine_poses; go on with that"):
        run(dataset, tmp_path / "x", flags, 12)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_spoilt_entry_is_refused(dataset: Path, whole: Path, tmp_path: Path) -> None:
    for place, spoil in {"values": torch.nan, "second": -1.0}.items():
        spoilt = load_checkpoint(whole / "chkpnt6.pth")
        spoilt["corrections"]["exposure"][place]["exposures"][0, 0, 0] = spoil
        save_checkpoint(tmp_path / "chkpnt6.pth", spoilt)
        with pytest.raises(UserError, match="corrections"):
            run(dataset, tmp_path / "x", f"--eval --start_checkpoint {tmp_path / 'chkpnt6.pth'} {ALL}", 12)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_dropped_gradient_stops_the_run(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture learns, but the exposures do not: that is no run to go on with."""
    apply = Exposure.apply
    monkeypatch.setattr(Exposure, "apply", lambda self, color, name: color + 0 * apply(self, color.detach(), name))
    with pytest.raises(UserError, match="exposures = 1 has no effect"):
        train.main(
            ["-s", str(dataset), "-m", str(tmp_path / "x"), "--quiet", "--iterations", "130", "--exposure", "on"]
        )


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_training_photos_are_drawn_at_their_refined_poses(whole: Path, tmp_path: Path) -> None:
    model = tmp_path / "copy"
    shutil.copytree(whole, model)
    entries = json.loads((model / "poses_refined.json").read_text())
    render.main(["-m", str(model), "--quiet", "--skip_test"])
    refined = (model / "train/ours_12/renders/00001.png").read_bytes()
    for entry in entries.values():
        entry["after"] = entry["before"]
    (model / "poses_refined.json").write_text(json.dumps(entries))
    render.main(["-m", str(model), "--quiet", "--skip_test"])
    assert (model / "train/ours_12/renders/00001.png").read_bytes() != refined
    entries["01.png"]["after"] = [[1, 2], [3, 4]]
    (model / "poses_refined.json").write_text(json.dumps(entries))
    with pytest.raises(UserError, match="poses_refined.json, 01.png is no camera pose"):
        render.main(["-m", str(model), "--quiet", "--skip_test"])
