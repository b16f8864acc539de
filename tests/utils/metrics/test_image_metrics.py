from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from tests.helpers.pictures import nearly, noise, write_views
from utils.errors import UserError
from utils.image_io import write_png
from utils.metrics import image as metrics
from utils.metrics import renders
from utils.metrics.color_correction import color_corrected


def ssim_in_scipy(image: np.ndarray, target: np.ndarray) -> float:
    """Wang et al. 2004 with an 11×11 Gaussian window, in another library and in float64."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        once = convolve1d(values, weights, axis=0, mode="constant")
        return convolve1d(once, weights, axis=1, mode="constant")

    x, y = image / 255.0, target / 255.0
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return float(np.mean((2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))))


def test_psnr_is_over_all_channels_together():
    target = noise(1)
    image = target.copy()
    image[..., 0] = nearly(target, 2)[..., 0]  # an error in one channel: a mean of PSNRs per channel would differ
    error = np.mean((image.astype(float) - target) ** 2)
    assert error > 1
    assert metrics.psnr(image, target) == pytest.approx(20 * np.log10(255) - 10 * np.log10(error), abs=1e-9)


def test_psnr_of_one_level_everywhere():
    image = np.full((4, 5, 3), 100, np.uint8)
    assert metrics.psnr(image, image + 1) == pytest.approx(48.1308, abs=1e-4)
    assert metrics.psnr(image, image) == metrics.PSNR_OF_EQUALS


@pytest.mark.parametrize("size", [(24, 32), (7, 40), (1, 1)])
def test_ssim_agrees_with_scipy(size: tuple[int, int]):
    target = noise(3, size)
    image = nearly(target, 4, 60)
    expected = ssim_in_scipy(image, target)
    assert expected < 0.999
    assert metrics.ssim(image, target) == pytest.approx(expected, abs=1e-9)
    assert metrics.ssim(target, target) == pytest.approx(1, abs=1e-12)


def test_a_mask_selects():
    target, mask = noise(5), np.zeros((24, 32), np.uint8)
    mask[4:20, 6:30] = 255
    image = nearly(target, 6)
    spoilt = np.where(mask[..., None] > 0, image, noise(7))
    inside = image[4:20, 6:30].astype(float) - target[4:20, 6:30]
    assert metrics.psnr(spoilt, target, mask) == pytest.approx(10 * np.log10(255**2 / np.mean(inside**2)), abs=1e-9)
    assert metrics.ssim(spoilt, target, mask) == pytest.approx(metrics.ssim(image, target, mask), abs=1e-12)
    assert metrics.psnr(spoilt, target) < metrics.psnr(spoilt, target, mask) - 3
    assert metrics.ssim(spoilt, target) < metrics.ssim(spoilt, target, mask) - 0.1


def test_a_full_mask_changes_nothing_and_an_empty_one_leaves_nothing_to_measure():
    target, image = noise(8), nearly(noise(8), 9)
    full, empty = np.full((24, 32), 255, np.uint8), np.zeros((24, 32), np.uint8)
    assert metrics.measure(image, target, full) == pytest.approx(metrics.measure(image, target))
    nothing = metrics.measure(image, target, empty, lambda *_: 0.0)
    assert nothing == dict.fromkeys(("PSNR", "SSIM", "LPIPS", "cc_PSNR", "cc_SSIM"))
    whole = metrics.measure(image, target)
    assert metrics.average([nothing, whole, whole]) == pytest.approx(whole)
    assert metrics.average([nothing, nothing]) == nothing


def test_sizes_must_agree():
    with pytest.raises(UserError, match="shape"):
        metrics.measure(noise(1), noise(1, (24, 31)))


def test_average_is_none_where_a_view_was_not_measured():
    views = [{"PSNR": 20.0, "SSIM": 0.5, "LPIPS": None}, {"PSNR": 30.0, "SSIM": 0.7, "LPIPS": 0.1}]
    assert metrics.average(views) == {"PSNR": 25.0, "SSIM": pytest.approx(0.6), "LPIPS": None}


def test_the_files_of_a_model(tmp_path):
    write_views(tmp_path / "test" / "ours_300", 3)
    write_views(tmp_path / "test" / "ours_20", 2)
    results = renders.evaluate_model(tmp_path)
    assert list(results) == ["ours_20", "ours_300"]
    assert json.loads((tmp_path / "results.json").read_text()) == results
    per_view = json.loads((tmp_path / "per_view.json").read_text())
    assert set(per_view["ours_300"]) == {"PSNR", "SSIM", "LPIPS", "cc_PSNR", "cc_SSIM"}
    assert list(per_view["ours_300"]["PSNR"]) == ["00000.png", "00001.png", "00002.png"]
    assert per_view["ours_300"]["LPIPS"] == {f"0000{index}.png": None for index in range(3)}
    values = list(per_view["ours_300"]["PSNR"].values())
    assert values[0] == pytest.approx(metrics.psnr(nearly(noise(0), 100, 5), noise(0)))
    assert values[0] > values[1] > values[2] > 10
    assert results["ours_300"]["PSNR"] == pytest.approx(np.mean(values))
    assert results["ours_300"]["LPIPS"] is None
    assert (results["ours_300"]["set"], results["ours_300"]["views"]) == ("test", 3)


def test_masks_on_disk_are_honoured(tmp_path):
    folder = tmp_path / "test" / "ours_1"
    write_views(folder, 1)
    mask = np.zeros((24, 32), np.uint8)
    mask[:, :16] = 255
    before = renders.measure_folder(folder)["00000.png"]["PSNR"]
    write_png(folder / "masks" / "00000.png", mask)
    after = renders.measure_folder(folder)["00000.png"]["PSNR"]
    left = (noise(0)[:, :16], nearly(noise(0), 100, 5)[:, :16])
    assert after == pytest.approx(metrics.psnr(*left)) and after != before


def test_training_views_are_measured_where_there_are_no_others(tmp_path):
    write_views(tmp_path / "train" / "ours_7", 2)
    assert renders.evaluate_model(tmp_path)["ours_7"]["set"] == "train"
    write_views(tmp_path / "test" / "ours_7", 1)
    assert renders.evaluate_model(tmp_path)["ours_7"]["set"] == "test"


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="render.py"):
        renders.evaluate_model(tmp_path)
    with pytest.raises(UserError, match="is not there"):
        renders.evaluate_model(tmp_path / "nothing")
    write_views(tmp_path / "test" / "ours_7", 1)
    (tmp_path / "test/ours_7/gt/00000.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match="gt/00000.png holds no picture"):
        renders.evaluate_model(tmp_path)


# ---- LPIPS, with a stand-in for the package: the real one brings torchvision along, which no test may need -----------


class FakeNetwork(torch.nn.Module):
    """As `lpips.LPIPS`: a trunk in slices, distances of shape (1,1,1,1)."""

    def __init__(self, net: str, pnet_rand: bool, verbose: bool) -> None:
        super().__init__()
        assert net == "vgg" and pnet_rand, "anything else would download weights"
        self.net = torch.nn.Module()
        self.net.slice1 = torch.nn.Sequential()
        self.net.slice1.add_module("0", torch.nn.Conv2d(3, 2, 1))

    def forward(self, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        features, others = (self.net.get_submodule("slice1")(each) for each in (image, target))
        return (features - others).abs().mean()[None, None, None, None]


@pytest.fixture
def fake_lpips(monkeypatch, tmp_path):
    package = ModuleType("lpips")
    package.LPIPS = FakeNetwork
    monkeypatch.setitem(sys.modules, "lpips", package)
    path = tmp_path / "vgg16.pth"
    weights = {"features.0.weight": torch.ones(2, 3, 1, 1), "features.0.bias": torch.zeros(2)}
    torch.save({**weights, "classifier.0.weight": torch.ones(1)}, path)
    return path


def test_lpips_takes_its_trunk_from_a_file(fake_lpips):
    distance = metrics.load_lpips(fake_lpips)
    dark, bright = torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.5)
    assert distance(dark, bright) == pytest.approx(1.5)


def test_lpips_sees_nothing_outside_the_mask(fake_lpips):
    target, mask = noise(1), np.zeros((24, 32), np.uint8)
    mask[:, :8] = 255
    image = np.where(mask[..., None] > 0, target, noise(2))
    assert metrics.measure(image, target, mask, metrics.load_lpips(fake_lpips))["LPIPS"] == 0
    assert metrics.measure(image, target, None, metrics.load_lpips(fake_lpips))["LPIPS"] > 0.01


def test_results_name_the_variant_of_lpips(fake_lpips, tmp_path):
    write_views(tmp_path / "test" / "ours_7", 2)
    results = renders.evaluate_model(tmp_path, metrics.load_lpips(fake_lpips))["ours_7"]
    assert results["LPIPS"] > 0 and "VGG" in results["LPIPS_variant"]


def test_lpips_that_cannot_be_had(fake_lpips, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="nowhere.pth is not there"):
        metrics.load_lpips(tmp_path / "nowhere.pth")
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not hold"):
        metrics.load_lpips(tmp_path / "other.pth")
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UserError, match="install"):
        metrics.load_lpips(fake_lpips)


# ---- with the photo's colors


def affine(picture: np.ndarray) -> np.ndarray:
    """As another exposure would show it."""
    mixed = picture @ np.array([[0.7, 0.05, 0.0], [0.02, 0.8, 0.03], [0.0, 0.1, 0.6]]) + (12, -3, 20)
    return np.round(mixed).clip(0, 255).astype(np.uint8)


def test_another_exposure_is_no_error_once_colors_are_fitted():
    image = noise(3)
    scores = metrics.measure(image, affine(image))
    assert scores["PSNR"] < 20 and scores["cc_PSNR"] > 45 and scores["cc_SSIM"] > 0.99 > scores["SSIM"]


def test_fitted_colors_are_those_of_least_squares_and_never_farther():
    image, target = noise(4), noise(5)
    scores = metrics.measure(image, target)
    assert scores["cc_PSNR"] > scores["PSNR"] + 1
    colors = np.concatenate([image.reshape(-1, 3) / 255, np.ones((image.size // 3, 1))], axis=1)
    fitted = np.linalg.lstsq(colors, target.reshape(-1, 3) / 255, rcond=None)[0]
    expected = np.round(255 * (colors @ fitted)).clip(0, 255).reshape(image.shape)
    assert np.abs(color_corrected(image, target) - expected).max() <= 1


def test_colors_are_fitted_inside_the_mask():
    image, mask = noise(6), np.zeros((24, 32), np.uint8)
    mask[4:20, 5:30] = 255
    target = np.where(mask[..., None] > 0, affine(image), noise(7))
    assert metrics.measure(image, target, mask)["cc_PSNR"] > 45
    assert np.array_equal(color_corrected(image[:1] * 0 + 9, image[:1] * 0 + 9), image[:1] * 0 + 9)  # one color alone
