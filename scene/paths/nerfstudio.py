"""A camera path as nerfstudio's viewer exports it.

The file has a pose for each frame: `camera_to_world`, 16 numbers row by row, in OpenGL camera axes (x right, y up,
z backward), with `fov`, the vertical field of view in degrees. Its keyframes, from which the viewer made the frames,
are not needed. The keys are those that nerfstudio 1.1 writes and `ns-render camera-path` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from scene.paths.lens import PathLens
from scene.readers.base import rigid
from scene.readers.json_input import Pixels, Positive, decoded, read_json
from scene.types import Camera
from utils.errors import UserError

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL camera axes from OpenCV's
LARGEST = 16_384  # pixels, on a side of a frame
Degrees = Annotated[float, Meta(ge=0.05, lt=179.99)]  # of a lens: a smaller field of view has no finite focal length


class Frame(Struct):
    camera_to_world: Annotated[list[float], Meta(min_length=16, max_length=16)]
    fov: Degrees


class File(Struct):
    render_width: Pixels
    render_height: Pixels
    camera_path: Annotated[list[Frame], Meta(min_length=1)]
    camera_type: str = "perspective"
    fps: Positive | None = None


def read_path_file(path: Path, size: tuple[int, int] | None = None) -> tuple[tuple[Camera, ...], float | None]:
    """The cameras of the frames, with pictures of `size` (that of the file when None), and the file's frame rate.

    Raises: UserError, naming the file, for what is no such path, and for a camera that is no perspective one.
    """
    content = decoded(read_json(path), File, path)
    if content.camera_type.lower() != "perspective":
        raise UserError(f"{path}: camera_type is {content.camera_type!r}; only perspective cameras are rendered")
    size = size or (int(content.render_width), int(content.render_height))
    if max(size) > LARGEST:
        raise UserError(f"{path}: frames of {size[0]} × {size[1]} pixels are too large; --size chooses a smaller size")
    cameras = []
    for index, frame in enumerate(content.camera_path):
        matrix = np.reshape(frame.camera_to_world, (4, 4))
        world_from_camera = rigid(matrix, f"{path}: camera_path[{index}].camera_to_world") @ FLIP
        cameras.append(PathLens.of_angle(frame.fov, size).camera(f"{index:05}", np.linalg.inv(world_from_camera)))
    return tuple(cameras), content.fps
