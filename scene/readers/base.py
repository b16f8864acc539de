"""What a reader of posed photos returns: frames, and what is to be said of them; and the parts that readers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from scene.camera_models import checked
from scene.types import NO_POINTS, CameraModel, Confidence, DepthCamera, PointCloud
from utils.errors import UserError

SHEAR = 0.05  # by which the axes of a pose may miss being orthogonal and of one length: files round
FARTHEST = 1e10  # world units, of a camera or point: squares of what lies beyond leave float32
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # y up, z backward -> y down, z forward
MILLIMETRES = 1 / 1000  # a step of depth, in metres
SURE_DEPTH = "depth of the highest confidence alone is used"
OFF_CENTER = 0.25  # of the size, by which a principal point misses the middle if it holds for another size
HALF_PIXEL = 0.5  # OpenCV counts pixels from the middle of the first, this project from its corner


@dataclass(frozen=True)
class ReadOptions:
    """What the command line says of a folder, for readers that need to know."""

    images: str = "images"  # the folder of the photos inside the dataset, where its files do not name it
    workspace: Path | None = None  # the folder that keeps what has to be made of a dataset; None: nothing can be made
    frames: int = 150  # of a video that are taken
    is_sequence: bool = False  # whether photos without poses are the frames of a video
    quiet: bool = False
    find_poses: bool = True  # of photos that have none; False: PosesUnknown, unless the workspace has them


class Reader(Protocol):
    """A format: a module of `scene.readers` with these names, and a line in its registry."""

    LAYOUT: str  # the files by which the format is recognised, as an error message lists them

    def can_read(self, folder: Path) -> bool:
        """Whether the folder holds a dataset of this format."""
        ...

    def read(self, folder: Path, options: ReadOptions) -> ParsedDataset:
        """Cameras in OpenCV axes and pixels from the image corner. Raises: UserError, naming the file."""
        ...


@dataclass(frozen=True)
class PosedImage:
    """A posed photo that is there."""

    name: str  # as unique as its path
    image_path: Path
    lens: CameraModel
    camera_from_world: np.ndarray  # (4, 4) float64
    mask_path: Path | None = None
    depth_path: Path | None = None  # that is listed, there or not
    depth_camera: DepthCamera | None = None  # None: the photo's
    confidence: Confidence | None = None  # of the depth map; None: all of it is used


@dataclass(frozen=True)
class ParsedDataset:
    """A dataset as its reader found it."""

    kind: str  # for people
    frames: tuple[PosedImage, ...]
    missing: tuple[str, ...] = ()  # photos that are listed, but not there
    test: frozenset[str] = frozenset()  # names of the frames that the dataset itself holds out
    points: PointCloud = NO_POINTS
    tracks: Mapping[str, np.ndarray] = field(default_factory=dict)  # by name, which of the points it was found to see
    depth_scale: float | None = None  # world units of a step of its depth maps, if that is known
    meters_per_unit: float | None = None  # length of a world unit, if its files say it
    is_video: bool = False  # neighbours show nearly the same, so that a part of them will do
    is_transparent: bool = False  # what its alpha channels leave open shows the background, as in renderings
    files: tuple[Path, ...] = ()  # that were read, beside those of the frames
    unused: Mapping[Path, str] = field(default_factory=dict)  # why files, or all files of a folder, are not used
    notes: tuple[str, ...] = ()  # for the summary
    warnings: tuple[str, ...] = ()


def read_text(path: Path) -> str:
    """What a text file holds, in UTF-8 with or without its mark; file names in it may be of any bytes.

    Raises: UserError, naming the file.
    """
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"{path} cannot be read as a text: {error}") from None


def rigid(matrix: ArrayLike, where: str) -> np.ndarray:
    """A camera's pose as a file has it, (4, 4), with its rotation made exact; a uniform scale is no part of a pose.

    Raises: UserError, which `where` begins, for what is no pose.
    """
    try:
        pose = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pose = np.zeros(0)
    if pose.shape != (4, 4) or not np.isfinite(pose).all() or np.abs(pose).max() > FARTHEST:
        raise UserError(f"{where} is no camera pose: it must be 4 × 4 numbers, none above {FARTHEST:g}")
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > SHEAR:
        raise UserError(f"{where} is no camera pose: its last row is {pose[3].tolist()}; it must be 0, 0, 0, 1")
    if np.linalg.det(pose[:3, :3]) < -1e-9:
        raise UserError(
            f"{where} is no camera pose: it mirrors (its determinant is below 0), which no camera does; one of its "
            "axes has the wrong sign"
        )
    if np.linalg.det(pose[:3, :3]) < 1e-9:
        raise UserError(f"{where} is no camera pose: it must be a rotation beside a translation")
    left, lengths, right = np.linalg.svd(pose[:3, :3])
    if lengths[0] > (1 + SHEAR) * lengths[2]:
        raise UserError(f"{where} is no camera pose: its axes are {lengths[0] / lengths[2]:.3g} times apart in length")
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = left @ right, pose[:3, 3]
    return result


def read_matrix(path: Path) -> np.ndarray:
    """(4, 4) of a text file. Raises: UserError, naming the file."""
    try:
        values = np.array(read_text(path).split(), dtype=np.float64)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read: {error}; it must hold 4 lines of 4 numbers") from None
    if values.size != 16:
        raise UserError(f"{path} holds {values.size} numbers; it must hold 4 lines of 4")
    return values.reshape(4, 4)


def read_pose(path: Path) -> np.ndarray | None:
    """camera_from_world out of a text file of world_from_camera; None where tracking was lost, which is written as
    numbers that are not finite. Raises: UserError, naming the file, for anything else that is no pose."""
    matrix = read_matrix(path)
    return np.linalg.inv(rigid(matrix, str(path))) if np.isfinite(matrix).all() else None


def pose_of_quaternion(place: Sequence[float], xyzw: Sequence[float], where: str) -> np.ndarray | None:
    """(4, 4) of a position and a quaternion; None where tracking was lost: for what is not finite, or no rotation.

    Raises: UserError, which `where` begins, for a place too far away.
    """
    numbers = np.array([*place, *xyzw], dtype=np.float64)
    if not np.isfinite(numbers).all() or not 1e-6 <= np.abs(numbers[3:]).max() <= FARTHEST:
        return None
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_quat(numbers[3:]).as_matrix(), numbers[:3]
    return rigid(pose, f"{where} {list(place)}")


def confidence_of(path: Path, least: int) -> Confidence | None:
    """The confidence map at `path`, of which numbers from `least` on are used; None where there is none."""
    return Confidence(path, least) if path.is_file() else None


def opencv_lens(
    width: int, height: int, intrinsics: Sequence[float], distortion: Sequence[float] = (), where: str = "the camera"
) -> CameraModel:
    """A lens as OpenCV calibrates it: fx fy cx cy, and k1 k2 p1 p2 k3 or nothing.

    Raises: UserError, which `where` begins, for what is no camera.
    """
    fx, fy, cx, cy = intrinsics
    middle = (fx, fy, cx + HALF_PIXEL, cy + HALF_PIXEL)
    if not any(distortion):
        return checked("PINHOLE", width, height, middle, where)
    return checked("FULL_OPENCV", width, height, (*middle, *distortion, 0.0, 0.0, 0.0), where)


def lens_of_matrix(matrix: np.ndarray, width: int, height: int, where: str) -> CameraModel:
    """A lens by its matrix, (3, 3) or more, in a file that does not say for which size of pictures it holds.

    Raises: UserError, which `where` begins, for what is no camera, and for that of another size.
    """
    values = [float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))]
    lens = opencv_lens(width, height, values, where=where)
    if is_off_center(matrix, width, height):
        raise UserError(
            f"{where} has the principal point ({values[2]:g}, {values[3]:g}), and its pictures are {width}×{height} "
            "pixels: it must be near their middle, and is that of pictures of another size"
        )
    return lens


def is_off_center(matrix: np.ndarray, width: int, height: int) -> bool:
    """Whether the principal point of a camera's matrix shows that it holds for pictures of another size."""
    ratios = (float(matrix[0, 2]) + HALF_PIXEL) / width, (float(matrix[1, 2]) + HALF_PIXEL) / height
    return not all(abs(ratio - 0.5) <= OFF_CENTER for ratio in ratios)


def lost_frames(lost: Sequence[Path], why: str = "no pose") -> tuple[str, ...]:
    """The warning about frames without a finite pose, if there are any, by the files that it names."""
    if not lost:
        return ()
    return (
        f"{len(lost)} frames are skipped, such as {lost[0]}: they have {why}, or one of numbers that are not finite",
    )
