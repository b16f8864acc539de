"""Twists move cameras as they should, their gradient is exact, and what all cameras have in common is taken out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import expm, logm

from arguments import PoseOptions, parse_train_options
from gaussian_renderer import RenderSettings, render
from scene import load_scene
from scene.gaussians.model import Gaussians
from scene.loading.image_cache import ViewCache
from tests.helpers.clouds import random_gaussians
from tests.helpers.scenes import cameras
from train import loss_of
from training.corrections import Corrections
from training.pose_refinement import PoseRefinement, exponential

CPU = torch.device("cpu")
TRUE = torch.tensor(True)


def refinement(count: int = 7, **options: object) -> PoseRefinement:
    return PoseRefinement(cameras(count), PoseOptions(refine_poses=True, **options), 2.0, CPU)


def twisted(refined: PoseRefinement, size: float, seed: int = 0) -> PoseRefinement:
    generator = torch.Generator().manual_seed(seed)
    for value in refined.parameters.values.values():
        value.data.copy_(size * torch.randn(value.shape, generator=generator))
    return refined


def test_the_exponential_is_the_matrix_exponential_and_has_its_derivative() -> None:
    rng = np.random.default_rng(0)
    for size in (0.0, 1e-6, 0.1, 0.9):
        direction = rng.normal(size=6)
        rho, omega = size * direction[:3] / np.linalg.norm(direction[:3]) * 30, size * direction[3:] / 2
        matrix = np.zeros((4, 4))
        matrix[:3, :3] = [[0, -omega[2], omega[1]], [omega[2], 0, -omega[0]], [-omega[1], omega[0], 0]]
        matrix[:3, 3] = rho
        found = exponential(torch.tensor(rho), torch.tensor(omega))
        np.testing.assert_allclose(found.numpy(), expm(matrix), atol=1e-12)
        inputs = [torch.tensor(each, requires_grad=True) for each in (rho, omega)]
        assert torch.autograd.gradcheck(exponential, inputs)


def test_without_a_twist_the_picture_is_that_of_the_camera_to_the_bit() -> None:
    gaussians, settings, black = random_gaussians(60), RenderSettings(0.1, 1), torch.zeros(3)
    refined = refinement()
    for camera in cameras(7):
        moved = render(gaussians, camera, black, settings, viewmat=refined.viewmat(camera.name))
        assert torch.equal(moved.color, render(gaussians, camera, black, settings).color)


def test_the_gradient_by_the_twist_is_that_of_moving_the_camera() -> None:
    """In float64, through the rasterizer, of color and depth, against differences."""
    cloud = random_gaussians(40, seed=2)
    gaussians = Gaussians({name: value.detach().double() for name, value in cloud.parameters.items()})
    camera = cameras(1)[0]
    pose = torch.from_numpy(camera.camera_from_world)
    weights = torch.rand(
        3, camera.height, camera.width, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )

    def cost(translation: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        viewmat = exponential(translation, rotation) @ pose
        output = render(gaussians, camera, torch.zeros(3).double(), RenderSettings(0.1, 1), viewmat=viewmat)
        return (output.color * weights).sum() + (output.depth * weights[:1]).sum()

    zero = [torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    exact = torch.autograd.grad(cost(*zero), zero)
    assert min(each.abs().min() for each in exact) > 0.01
    for which in range(2):
        for axis in range(3):
            step = torch.zeros(2, 3, dtype=torch.float64)
            step[which, axis] = 1e-6
            with torch.no_grad():
                slope = (cost(*step) - cost(*-step)) / 2e-6
            assert slope.item() == pytest.approx(exact[which][axis].item(), rel=2e-4, abs=2e-3)


def test_what_all_cameras_have_in_common_is_taken_out() -> None:
    refined = twisted(refinement(), 1e-4)
    refined._anchor()
    before = np.stack([camera.camera_from_world for camera in cameras(7)])
    after = refined.refined().numpy()
    centers = [-np.einsum("vji,vj->vi", each[:, :3, :3], each[:, :3, 3]) for each in (before, after)]
    moved = centers[1] - centers[0]
    offsets = centers[0] - centers[0].mean(axis=0)
    turned = np.einsum("vji,vjk->vik", before[:, :3, :3], after[:, :3, :3])  # about the axes of the world
    axes = np.stack(
        [turned[:, 2, 1] - turned[:, 1, 2], turned[:, 0, 2] - turned[:, 2, 0], turned[:, 1, 0] - turned[:, 0, 1]]
    )
    assert np.abs(moved).max() > 3e-5 and np.abs(axes).max() > 3e-5
    assert np.abs(moved.mean(axis=0)).max() < 1e-7 and np.abs(axes.mean(axis=1)).max() < 1e-7
    assert abs((moved * offsets).sum()) < 1e-6


def test_a_motion_of_all_cameras_together_is_nothing() -> None:
    """The world turned, moved and scaled about the cameras' center leaves, once anchored, poses as they were."""
    refined = refinement()
    world = exponential(torch.tensor([1e-4, -2e-4, 3e-4]), torch.tensor([2e-4, 1e-4, -1e-4]))
    wanted = refined._before @ world
    for row in range(7):
        twist = torch.from_numpy(np.asarray(_log((wanted[row] @ torch.linalg.inv(refined._before[row])).numpy())))
        refined.parameters.values["translations"].data[row] = twist[:3].float()
        refined.parameters.values["rotations"].data[row] = twist[3:].float()
    assert refined.moved().distance.max() > 1e-4
    refined._anchor()
    assert refined.moved().distance.max() < 1e-6 and refined.moved().angle.max() < 1e-4


def _log(pose: np.ndarray) -> np.ndarray:
    twist = logm(pose).real
    return np.array([*twist[:3, 3], twist[2, 1], twist[0, 2], twist[1, 0]])


def test_moved_is_in_scene_units_and_degrees() -> None:
    refined = refinement(2)
    refined.parameters.values["translations"].data[0] = torch.tensor([0.0, 0.3, 0.0])
    refined.parameters.values["rotations"].data[1] = torch.tensor([0.0, 0.0, np.radians(0.5)])
    distance, angle = refined.moved()
    np.testing.assert_allclose(distance, [0.3, 0], atol=1e-7)  # a camera turns about itself
    np.testing.assert_allclose(angle, [0, 0.5], atol=1e-5)
    assert "0.3 at most" in refined.text() and "0.5° at most" in refined.text()


def test_poses_wait_for_a_tenth_of_the_run() -> None:
    refined = refinement(2)
    values = refined.parameters.values
    for iteration in range(1, 13):
        for value in values.values():
            value.grad = torch.ones_like(value) * torch.tensor([[1.0], [-1.0]])
        refined.step(iteration, 100, TRUE)
        assert bool(values["rotations"].any()) == (iteration > 10) and values["rotations"].grad is None
    assert refined.rate(10, 100) == pytest.approx(1e-3) and refined.rate(100, 100) == pytest.approx(1e-5)
    assert not refinement(2, refine_poses_from_iter=50).is_due(50, 100)


def test_a_disturbed_camera_finds_back() -> None:
    """Off by 2 cm at 3 m and by half a degree, before Gaussians that stay."""
    gaussians, settings, black = random_gaussians(300, seed=3), RenderSettings(0.1, 1), torch.zeros(3)
    right = cameras(1)[0]
    with torch.no_grad():
        target = render(gaussians, right, black, settings).color
    for value in gaussians.parameters.values():
        value.requires_grad_(False)
    off = exponential(torch.tensor([0.02, -0.01, 0.01]), torch.tensor([0.006, -0.004, 0.005])).numpy()
    given = replace(right, camera_from_world=off @ right.camera_from_world)
    refined = PoseRefinement([given], PoseOptions(True, 1e-3, 1e-5, 0), 2.0, CPU, anchored=False)
    for iteration in range(1, 101):
        output = render(gaussians, given, black, settings, viewmat=refined.viewmat(given.name))
        (output.color - target).abs().mean().backward()
        refined.step(iteration, 100, TRUE)
    found = refined.camera(given)
    assert np.linalg.norm(found.center - right.center) < 0.1 * np.linalg.norm(given.center - right.center)
    assert refined.moved().angle[0] == pytest.approx(np.degrees(np.linalg.norm([0.006, -0.004, 0.005])), rel=0.1)
    assert found.camera_from_world.dtype == np.float64 and refined.camera(other := cameras(2)[1]) is other


def test_what_looks_at_all_photos_sees_them_at_their_refined_poses(dataset: Path) -> None:
    scene = load_scene(dataset)
    all_cameras = [view.camera for view in scene.train]
    refined = twisted(PoseRefinement(all_cameras, PoseOptions(True), scene.extent, CPU), 1e-2)
    photos = ViewCache(scene.train)
    placed = Corrections(poses=refined).placed(photos)
    for index, camera in enumerate(all_cameras):
        assert np.allclose(placed[index].camera.camera_from_world, refined.refined()[index], atol=1e-12)
        assert photos[index].camera is camera and torch.equal(placed[index].color, photos[index].color)
    assert Corrections().placed(photos) is photos


def test_a_term_that_looks_from_the_camera_moves_it(dataset: Path) -> None:
    """Of the pose, and not of the camera that the dataset has: the elongation along the view ray."""
    scene, gaussians = load_scene(dataset), random_gaussians(40, seed=2)
    refined = twisted(PoseRefinement([view.camera for view in scene.train], PoseOptions(True), scene.extent, CPU), 1e-2)
    corrections = Corrections(poses=refined)
    photo = ViewCache(scene.train)[0]
    photo = photo._replace(viewmat=corrections.viewmat(photo.camera))
    center = photo.center(gaussians.means)
    assert torch.allclose(center, torch.from_numpy(refined.camera(photo.camera).center).float(), atol=1e-5)
    assert (center - torch.from_numpy(photo.camera.center)).norm() > 1e-3
    objective = loss_of(parse_train_options(["--lambda_ray", "1", "--ray_ratio_max", "1"]), scene.extent)
    black = torch.zeros(3)
    output = corrections.render(gaussians, photo, black, RenderSettings(0.1, 1))
    terms = objective.terms(output, photo, black, gaussians, objective.weights(1))
    for name in ("l1", "ray", "distortion"):
        (moved,) = torch.autograd.grad(terms[name], [refined.parameters.values["translations"]], retain_graph=True)
        assert moved[0].abs().max() > 0 and not moved[1:].any(), name
