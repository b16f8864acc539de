from __future__ import annotations

import json

import numpy as np
import pytest

import metrics
from tests.helpers.pictures import write_log, write_views
from utils.errors import UserError
from utils.image_io import read_png, write_png

pytestmark = pytest.mark.slow


def test_several_models_in_one_table(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    write_views(first / "test" / "ours_100", 2)
    write_views(first / "test" / "ours_300", 2)
    write_views(second / "train" / "ours_300", 1)
    write_log(first)
    metrics.main(["-m", str(first), str(second)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "views", "PSNR", "SSIM", "LPIPS"]
    assert [line.split()[:4] for line in lines[1:4]] == [
        [str(first), "ours_100", "2", "test"],
        [str(first), "ours_300", "2", "test"],
        [str(second), "ours_300", "1", "train"],
    ]
    assert all(line.endswith("-") for line in lines[1:4]) and "--lpips_weights" in lines[4]
    assert lines[5:] == [f"open {first / 'report.html'}", f"open {second / 'report.html'}"]
    results = json.loads((first / "results.json").read_text())
    assert lines[2].split()[4] == f"{results['ours_300']['PSNR']:.2f}"
    assert (first / "per_view.json").exists() and (second / "contact_sheet.png").exists()


def test_quiet(tmp_path, capsys):
    write_views(tmp_path / "test" / "ours_1", 1)
    metrics.main(["-m", str(tmp_path), "--quiet"])
    assert capsys.readouterr().out == ""
    assert (tmp_path / "results.json").exists()


def test_a_model_without_renders(tmp_path):
    with pytest.raises(UserError, match="render.py -m"):
        metrics.main(["-m", str(tmp_path)])


def test_weights_that_are_not_there(tmp_path):
    write_views(tmp_path / "test" / "ours_1", 1)
    with pytest.raises(UserError, match="vgg.pth is not there"):
        metrics.main(["-m", str(tmp_path), "--lpips_weights", str(tmp_path / "vgg.pth")])
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize("hidden", [1, 3])
def test_what_masks_hide_is_not_measured_and_said(hidden, tmp_path, capsys):
    folder = tmp_path / "test" / "ours_300"
    write_views(folder, 3)
    for number in range(hidden):
        write_png(folder / "masks" / f"0000{number}.png", np.zeros_like(read_png(folder / "gt" / "00000.png")[..., 0]))
    metrics.main(["-m", str(tmp_path)])
    results = json.loads((tmp_path / "results.json").read_text())["ours_300"]
    assert results["views"] == 3 and results["views_hidden"] == hidden
    assert (results["PSNR"] is None) == (results["SSIM"] is None) == (hidden == 3)
    assert f"the masks leave no pixel of {hidden} of 3 views to measure" in capsys.readouterr().out
    assert json.loads((tmp_path / "per_view.json").read_text())["ours_300"]["PSNR"]["00000.png"] is None
    assert (tmp_path / "report.html").exists() and (tmp_path / "contact_sheet.png").exists()
