"""The poses of the training photos, refined with the Gaussians by the exact gradient of the view matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from arguments import PoseOptions
from scene.refined_poses import write_refined
from scene.types import Camera
from training.view_parameters import ViewParameters
from utils.schedules import log_linear

START = 0.1  # of the run: before, the Gaussians say too little
TERMS = 14  # of the exponential series: float64 for angles up to 1


def exponential(translation: Tensor, rotation: Tensor) -> Tensor:
    """(...,4,4) float64: exp of twists in se(3), (...,3) each; rotations in radians, up to about 1.

    The power series, which has exact derivatives at 0, where sin θ/θ would be 0/0.
    """
    x, y, z = rotation.double().unbind(-1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    upper = torch.cat([torch.stack(rows, -2), translation.double()[..., None]], -1)
    twist = torch.cat([upper, torch.zeros_like(upper[..., :1, :])], -2)
    identity = torch.eye(4, dtype=twist.dtype, device=twist.device)
    result = identity.expand_as(twist)
    for order in range(TERMS, 0, -1):
        result = identity + twist @ result / order
    return result


class Moved(NamedTuple):
    """How far refinement has moved the cameras, (V,) each."""

    distance: np.ndarray  # world units
    angle: np.ndarray  # degrees


class PoseRefinement:
    """For each photo a twist ξ in its camera's frame: the refined view matrix is exp(ξ)·camera_from_world.

    A motion of all cameras together changes no picture, since the Gaussians would follow; it would only move the model
    away from the test cameras. So after each step the mean rotation, translation and scaling is removed (to first
    order: what is left grows with the square of a step).
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        options: PoseOptions,
        extent: float,
        device: torch.device,
        *,
        anchored: bool = True,
        start: Sequence[Camera] | None = None,
    ) -> None:
        """`anchored`: False leaves in what the cameras have in common, for those whose Gaussians do not move.

        `start`: the cameras where they are refined from, if they were refined before.
        """
        self.options, self.extent, self.anchored = options, extent, anchored
        self._before, self._start = (
            torch.from_numpy(np.stack([camera.camera_from_world for camera in each])).to(device)
            for each in (cameras, start or cameras)
        )
        zero = torch.zeros(len(cameras), 3, device=device)
        names = [camera.name for camera in cameras]
        self.parameters = ViewParameters(names, {"translations": zero.clone(), "rotations": zero.clone()})

    def viewmat(self, name: str) -> Tensor:
        """(4,4) float32, the refined camera_from_world of a photo, in the graph of its twist."""
        row, values = self.parameters.rows[name], self.parameters.values
        twist = exponential(values["translations"][row], values["rotations"][row])
        return (twist @ self._start[row]).float()

    @torch.no_grad()
    def camera(self, camera: Camera) -> Camera:
        """A camera at its refined pose, of another photo as it is. Waits for the device."""
        if camera.name not in self.parameters.rows:
            return camera
        row, values = self.parameters.rows[camera.name], self.parameters.values
        twist = exponential(values["translations"][row], values["rotations"][row])
        return replace(camera, camera_from_world=(twist @ self._start[row]).cpu().numpy())

    def is_due(self, iteration: int, iterations: int) -> bool:
        """Whether poses move in this step of a run."""
        start = self.options.refine_poses_from_iter
        return iteration > (START * iterations if start is None else start)

    def rate(self, iteration: int, iterations: int) -> float:
        """The learning rate of the rotations, radians; in extents that of the translations."""
        given = self.options.refine_poses_from_iter
        start = START * iterations if given is None else given
        steps = max(iterations - start, 1)
        return log_linear(iteration - start, self.options.pose_lr_init, self.options.pose_lr_final, steps)

    @torch.no_grad()
    def step(self, iteration: int, iterations: int, finite: Tensor, images: int = 1) -> None:
        """Move the poses along their gradients once that is due; see `ViewParameters.step`."""
        if not self.is_due(iteration, iterations):
            for value in self.parameters.values.values():
                value.grad = None
            return
        rate = self.rate(iteration, iterations)
        self.parameters.step({"translations": rate * self.extent, "rotations": rate}, finite, images)
        if self.anchored:
            self._anchor()

    @torch.no_grad()
    def _anchor(self) -> None:
        """Remove what all cameras have in common: the mean rotation about their center, its move, and their spread.

        To first order the twist (ρ, ω) of a camera with rotation R turns it by Rᵀω and moves it by −Rᵀρ in the world.
        """
        translations, rotations = (self.parameters.values[name] for name in ("translations", "rotations"))
        to_world = self._start[:, :3, :3].transpose(1, 2)
        centers = -(to_world @ self._start[:, :3, 3:])[..., 0]
        offsets = centers - centers.mean(dim=0)
        turned = (to_world @ rotations.double()[..., None])[..., 0].mean(dim=0)
        moved = -(to_world @ translations.double()[..., None])[..., 0]
        common = moved.mean(dim=0) - torch.linalg.cross(turned.expand_as(offsets), offsets)
        rest = moved - common
        spread = (rest * offsets).sum() / offsets.square().sum().clamp_min(torch.finfo(offsets.dtype).tiny)
        rest = rest - spread * offsets
        translations.copy_(-(self._start[:, :3, :3] @ rest[..., None])[..., 0])
        rotations.sub_(self._start[:, :3, :3] @ turned)

    @torch.no_grad()
    def refined(self) -> Tensor:
        """(V,4,4) float64 camera_from_world of all photos."""
        values = self.parameters.values
        return exponential(values["translations"], values["rotations"]) @ self._start

    def moved(self) -> Moved:
        """How far the cameras are from where the dataset has them."""
        before, after = self._before.cpu().numpy(), self.refined().cpu().numpy()
        centers = [-np.swapaxes(each[:, :3, :3], 1, 2) @ each[:, :3, 3:] for each in (before, after)]
        relative = after[:, :3, :3] @ np.swapaxes(before[:, :3, :3], 1, 2)
        sine = np.linalg.norm(relative - np.swapaxes(relative, 1, 2), axis=(1, 2)) / np.sqrt(8)
        cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
        distance = np.linalg.norm(centers[1] - centers[0], axis=(1, 2))
        return Moved(distance, np.degrees(np.arctan2(sine, cosine)))

    def text(self) -> str:
        """How far the poses have moved, for people."""
        distance, angle = self.moved()
        return (
            f"poses moved by {np.median(distance):.3g} in the median, {distance.max():.3g} at most (scene units), and "
            f"turned by {np.median(angle):.3g}°, {angle.max():.3g}° at most"
        )

    def write(self, folder: Path) -> None:
        """poses_refined.json in the model folder."""
        before, after = self._before.cpu().numpy(), self.refined().cpu().numpy()
        write_refined(folder, list(self.parameters.rows), before, after, *self.moved())
