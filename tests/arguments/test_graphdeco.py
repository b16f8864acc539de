"""Command lines of graphdeco's scripts run unchanged."""

from __future__ import annotations

import pytest

import metrics
import render
from arguments import graphdeco, parse_train_options, to_json, train_parser, without_effect

TRAIN = """--sh_degree 3 -s data -m out -i images -d depth -r 2 -w --train_test_exp --data_device cuda --eval
--iterations 30000 --position_lr_init 1e-4 --position_lr_final 1e-6 --position_lr_delay_mult 0.01
--position_lr_max_steps 30000 --feature_lr 0.0025 --opacity_lr 0.025 --scaling_lr 0.005 --rotation_lr 0.001
--exposure_lr_init 0.01 --exposure_lr_final 0.001 --exposure_lr_delay_steps 0 --exposure_lr_delay_mult 0.0
--percent_dense 0.01 --lambda_dssim 0.2 --densification_interval 100 --opacity_reset_interval 3000
--densify_from_iter 500 --densify_until_iter 15000 --densify_grad_threshold 0.0002 --depth_l1_weight_init 1
--depth_l1_weight_final 0.01 --random_background --optimizer_type default --convert_SHs_python
--compute_cov3D_python --debug --antialiasing --ip 127.0.0.1 --port 6009 --debug_from -1 --detect_anomaly
--test_iterations 7000 --save_iterations 7000 --quiet --disable_viewer --checkpoint_iterations 7000
--start_checkpoint chkpnt7000.pth""".split()
RENDER = """-m out -s data --sh_degree 3 -i images -d depth -r 2 -w --train_test_exp --data_device cuda --eval
--convert_SHs_python --compute_cov3D_python --debug --antialiasing --iteration -1 --skip_train --skip_test
--quiet""".split()


def test_train_takes_every_flag_and_says_a_line_for_each_without_effect() -> None:
    lines = without_effect(TRAIN)
    assert [line.split()[0] for line in lines] == [f"--{name}" for name in graphdeco.TRAIN]
    assert "--port has no effect here: --viewer shows the run in a browser, at a free port" in lines
    assert without_effect(["-s", "data"]) == []


def test_flags_without_effect_are_no_settings() -> None:
    text = to_json(parse_train_options(TRAIN))
    assert not [name for name in graphdeco.TRAIN if f'"{name}"' in text]


def test_render_takes_every_flag_and_says_a_line_for_each_without_effect() -> None:
    lines = graphdeco.lines(render.parse(RENDER), graphdeco.RENDER)
    assert [line.split()[0] for line in lines] == [f"--{name}" for name in graphdeco.RENDER]


def test_metrics_takes_its_flag() -> None:
    assert len(metrics.parse(["-m", "a", "b"]).model_paths) == 2


def test_help_does_not_show_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        render.parse(["-h"])
    shown = capsys.readouterr().out
    assert "--skip_train" in shown and not [name for name in graphdeco.RENDER if f"--{name}" in shown]
    shown = train_parser().format_help()
    assert "--sh_degree" in shown and not [name for name in graphdeco.TRAIN if f"--{name} " in shown]
