"""What transforms.json may say: the keys of Blender's scenes, instant-ngp and nerfstudio, their types and ranges.

A key whose value is null counts as absent. A key of a frame overrides that of the file.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from scene.readers.json_input import Finite, Pixels, Positive

Angle = Annotated[float, Meta(ge=0.001, lt=3.1415)]  # radians: 180 degrees have no pinhole image, 0 no focal length
Steps = Annotated[float, Meta(gt=0, le=1e6)]  # world units of a step of a depth map
Text = Annotated[str, Meta(min_length=1)]

# Of these no value changes what the cameras see.
HARMLESS_IN_FILE = (
    "aabb aabb_scale scale offset up n_frames applied_transform applied_scale orientation_override "
    "auto_scale_poses_override fovx fovy fps sharpen render_aabb camera_label_colmap comment"
).split()
HARMLESS_IN_FRAME = (
    "sharpness rotation colmap_im_id colmap_image_id fovx fovy timestamp cam_idx camera_id image_id id frame_id "
    "blur_score exposure_time iso"
).split()

# By which some writers say what their poses mean: only one answer is right here.
CONVENTIONS = (
    "camera_convention pose_convention coordinate_convention coordinate_system coordinates convention camera_coords "
    "camera_coordinates camera_frame"
).split()
RIGHT_CONVENTIONS = ("opengl", "blender", "nerf", "nerfstudio")


class Intrinsics(Struct):
    """The keys that a frame and the file share."""

    fl_x: Positive | None = None
    fl_y: Positive | None = None
    camera_angle_x: Angle | None = None
    camera_angle_y: Angle | None = None
    cx: Finite | None = None
    cy: Finite | None = None
    w: Pixels | None = None
    h: Pixels | None = None
    k1: Finite | None = None
    k2: Finite | None = None
    k3: Finite | None = None
    k4: Finite | None = None
    k5: Finite | None = None
    k6: Finite | None = None
    p1: Finite | None = None
    p2: Finite | None = None
    camera_model: Text | None = None
    is_fisheye: bool | None = None
    equirectangular: bool | None = None  # instant-ngp's names for lenses that no pinhole image can show
    latlong: bool | None = None
    ftheta_p0: Finite | None = None

    def over(self, file: Intrinsics) -> dict[str, Any]:
        """The values that hold for a frame with these keys: its own, or else the file's; None for neither."""
        names = Intrinsics.__struct_fields__
        return {name: _first(getattr(self, name), getattr(file, name)) for name in names}


class Frame(Intrinsics, kw_only=True):
    file_path: Text
    transform_matrix: list[list[float]]
    mask_path: str | None = None
    depth_file_path: str | None = None  # nerfstudio
    depth_path: str | None = None  # instant-ngp


class File(Intrinsics, kw_only=True):
    frames: Annotated[list[Frame], Meta(min_length=1)]
    ply_file_path: str | None = None
    depth_unit_scale_factor: Steps | None = None  # nerfstudio
    integer_depth_scale: Steps | None = None  # instant-ngp
    meters_per_unit: Positive | None = None  # as USD has it: length of a world unit
    enable_depth_loading: bool | None = None
    train_filenames: list[str] | None = None
    val_filenames: list[str] | None = None
    test_filenames: list[str] | None = None


def _first(own: Any, shared: Any) -> Any:
    return shared if own is None else own
