"""A room this project makes itself: photos, depth maps and poses whose every surface is known by formula.

`write_scene` makes the dataset (also `python -m scene.synthetic OUT`); `distance_to_surface` says how far any point is
from the true surfaces, needing no files: the room is a function of its seed.
"""

from scene.synthetic.camera_path import make_cameras
from scene.synthetic.room import Room, build_room, distance_to_surface
from scene.synthetic.write import write_scene

__all__ = ["Room", "build_room", "distance_to_surface", "make_cameras", "write_scene"]
