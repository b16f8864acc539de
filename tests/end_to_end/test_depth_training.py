"""Depth, distortion and the alarms in a whole run of train.py, on small RGB-D scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import train
from arguments import parse_train_options
from gaussian_renderer.sharded import Batch, BatchView
from tests.helpers.faults import DropGradient
from tests.helpers.rgbd import sphere_depth, write_scene
from train import loss_of
from training import batch
from utils.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_pages")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos inside a sphere, with 16-bit depth in millimetres that has holes."""
    folder = tmp_path_factory.mktemp("rgbd")
    holes = np.random.default_rng(0).uniform(size=(60, 80)) < 0.1
    (folder / "depth").mkdir()
    for camera in write_scene(folder, 8):
        millimetres = np.where(holes, 0, 1000 * sphere_depth(camera)).astype(np.uint16)
        cv2.imwrite(str((folder / "depth" / camera.name).with_suffix(".png")), millimetres)
    return folder


def run(dataset: Path, model: Path, flags: str = "") -> dict[str, Any]:
    """A run of 120 steps with held-out views; its entry in results.json."""
    common = ["-s", str(dataset), "-m", str(model), "--eval", "--quiet", "--iterations", "120"]
    train.main([*common, *flags.split()])
    return next(iter(json.loads((model / "results.json").read_text()).values()))


def log(model: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def test_depth_is_found_used_and_measured(dataset: Path, tmp_path: Path) -> None:
    unused = "--depth_l1_weight_init 0 --depth_l1_weight_final 0 --lambda_sensor 0"
    with_depth, without = (
        run(dataset, tmp_path / name, f"{flags} --iterations 300")
        for name, flags in (("with", ""), ("without", unused))
    )
    assert with_depth["depth"]["MAE"] < without["depth"]["MAE"]
    assert 0 < with_depth["depth"]["median"] < 1 and with_depth["depth"]["completeness"] > 0.5
    terms = [line for line in log(tmp_path / "with") if "loss" in line]
    assert terms and all(line["depth"] > 0 for line in terms)
    folder = next((tmp_path / "with" / "test").iterdir())
    for kind in ("renders", "depth", "measured_depth", "depth_error"):
        assert len(list((folder / kind).glob("*.png"))) == 1
    ignored = run(dataset, tmp_path / "ignored", "-d none")
    assert "depth" not in ignored and not (tmp_path / "ignored/test" / folder.name / "measured_depth").exists()


@pytest.mark.parametrize("name", ["l1", "g2", "mip_l1"])
def test_other_depth_losses_train(dataset: Path, tmp_path: Path, name: str) -> None:
    flags = f"--depth_loss {name} --depth_edge_weight 5 --depth_max 8 --depth_l1_mult 1"
    last = {}
    for weight in ("0.0001", "1"):
        run(dataset, tmp_path / weight, f"{flags} --depth_l1_weight_init {weight} --depth_l1_weight_final {weight}")
        last[weight] = [line["depth"] for line in log(tmp_path / weight) if "depth" in line][-1]
    assert 0 < last["1"] < last["0.0001"]


def test_each_part_of_a_sum_is_a_term_of_its_own(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path, "--iterations 20 --depth_loss ssi+0.5*silog+0.4*grad --audit_gradients")
    terms, entries = {"depth_ssi", "depth_silog", "depth_grad"}, log(tmp_path)
    step = next(line for line in entries if "loss" in line)
    assert "depth" not in step and all(step[term] > 0 for term in terms)
    audit = next(line["audit"] for line in entries if "audit" in line)
    assert terms < set(audit) and all(audit[term]["gradients"]["xyz"] > 0 for term in terms)
    weights = [audit[f"depth_{name}"]["weight"] for name in ("ssi", "silog", "grad")]
    assert weights == pytest.approx([weights[0] * factor for factor in (1, 0.5, 0.4)])


def test_the_distortion_falls_by_its_weight(dataset: Path, tmp_path: Path) -> None:
    for flag in ("0", "10"):
        run(dataset, tmp_path / flag, f"-d none --dist_scale 0 --lambda_dist {flag}")
    last = {flag: [line["distortion"] for line in log(tmp_path / flag) if "loss" in line][-1] for flag in ("0", "10")}
    assert 0 < last["10"] < 0.75 * last["0"]
    entry = next(line["depth_distortion"] for line in log(tmp_path / "10") if "depth_distortion" in line)
    assert entry["lambda_dist"] == 10 and 0 < entry["mean"] < entry["max"]


def test_a_dropped_gradient_stops_the_run(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = batch.render_batch

    def faulty(*arguments: Any) -> Any:
        ((_, output, share),), anchor = honest(*arguments)
        assert output is not None
        output = output._replace(distortion=DropGradient.apply(output.distortion))
        return Batch([BatchView(output, output, share)], anchor)

    monkeypatch.setattr(batch, "render_batch", faulty)
    with pytest.raises(UserError, match=r"lambda_dist = 10 has no effect: the term distortion is .*iteration 100"):
        run(dataset, tmp_path / "out", "--lambda_dist 10")
    assert json.loads((tmp_path / "out/run.json").read_text())["iterations"] < 100


def test_an_audit_names_every_term(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out", "--audit_gradients --lambda_ray 0.1 --ray_ratio_max 1 --lambda_opacity 0.001")
    audits = [line["audit"] for line in log(tmp_path / "out") if "audit" in line]
    assert audits and set(audits[0]) == {"l1", "dssim", "depth", "distortion", "sensor", "ray", "opacity"}
    for name, group in (("depth", "xyz"), ("distortion", "scaling"), ("opacity", "opacity"), ("l1", "features")):
        assert audits[0][name]["gradients"][group] > 0
    assert audits[0]["depth"]["gradients"]["features"] == 0
    assert sum(entry["share"] for entry in audits[0].values()) == pytest.approx(1)


def test_normals_thickness_and_surfaces_train_and_are_audited(dataset: Path, tmp_path: Path) -> None:
    flags = "--iterations 20 --audit_gradients --distortion gap --lambda_normal 0.05 --lambda_thickness 10"
    run(dataset, tmp_path / "out", flags)
    audit = next(line["audit"] for line in log(tmp_path / "out") if "audit" in line)
    for name in ("normal", "thickness", "distortion"):
        for group in ("xyz", "scaling", "rotation", "opacity"):
            assert audit[name]["gradients"][group] > 0, (name, group)
        assert audit[name]["gradients"]["features"] == 0


@pytest.mark.parametrize("flag", ["lambda_normal", "lambda_sensor"])
def test_terms_of_depths_along_rays_need_them(dataset: Path, tmp_path: Path, flag: str) -> None:
    with pytest.raises(UserError, match=f"--{flag} 0:1 100:2 with --depth_model center: it needs --depth_model ray"):
        train.main(["-s", str(dataset), "-m", str(tmp_path), "--depth_model", "center", f"--{flag}", "0:1 100:2"])


def test_a_term_that_rules_is_warned_of(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out", "--lambda_dist 100000000 --dist_scale 0 --prune_min_weight 0 -d none")
    warnings = json.loads((tmp_path / "out/run.json").read_text())["warnings"]
    assert [text for text in warnings if "the weighted term distortion is" in text]


def test_print_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["-s", "nowhere", "--print_schedule", "--iterations", "3000", "--lambda_dist", "0:8 15000:2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["iteration", "0"]
    row = next(line for line in lines if line.startswith("lambda_dist")).split()
    assert row[1] == "8" and row[-1] == "1500:2"


def test_a_schedule_that_cannot_be_read() -> None:
    options = parse_train_options(["--lambda_dist", "10:1 5:2"])
    with pytest.raises(UserError, match='--lambda_dist is "10:1 5:2"'):
        loss_of(options, 1.0)


def test_knots_scale_with_the_run_and_weights_follow() -> None:
    flags = "--iterations 3000 --depth_l1_weight_init 1 --depth_l1_weight_final 0.01 --lambda_dist".split()
    objective = loss_of(parse_train_options([*flags, "0:10 3000:10 15000:1"]), 2.0)
    assert objective.weights(300)["distortion"] == pytest.approx(10)
    assert objective.weights(1500)["distortion"] == pytest.approx(1)
    assert objective.weights(1500)["depth"] == pytest.approx(0.1)
    assert objective.weights(3000)["depth"] == pytest.approx(0.01)


def test_splats_are_held_against_the_depth_maps(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every step, by the depth of the photo that is rendered; the term and its weight are in the log."""
    honest, held = batch.render_batch, list[Any]()

    def watched(gaussians: Any, requests: Any) -> Any:
        held.extend((request.camera, request.sensor) for request in requests)
        return honest(gaussians, requests)

    monkeypatch.setattr(batch, "render_batch", watched)
    run(dataset, tmp_path / "out", "--lambda_sensor 30 --lambda_erank 0.001")
    assert len(held) == 120
    for camera, sensor in held[::20]:
        known = sensor.depth[0] > 0
        truth = torch.from_numpy(sphere_depth(camera)).to(sensor.depth)
        assert known.float().mean() > 0.3 and (sensor.depth[0] - truth)[known].abs().max() < 0.002
    last = [line for line in log(tmp_path / "out") if "loss" in line][-1]
    assert last["sensor"] > 0 and last["erank"] >= 0 and last["schedules"]["sensor"] == 30
