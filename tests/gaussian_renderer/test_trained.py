"""The scene of a trained model, also where the model folder was moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import export
from arguments import ModelOptions, TrainOptions, to_json
from gaussian_renderer.trained import load_trained_scene, read_options
from scene import load_scene
from scene.io import write_gaussians
from tests.helpers.clouds import random_gaussians
from tests.helpers.ring import make_dataset
from utils.errors import UserError
from utils.output_dir import config_path, point_cloud_path


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """A model folder that was moved after its scene, a zip, had been unpacked into it."""
    archive = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", make_dataset(tmp_path / "data")))
    before, after = tmp_path / "before", tmp_path / "after"
    options = TrainOptions(model=ModelOptions(str(archive), str(before), sh_degree=0))
    load_scene(archive, **options.model.scene_arguments(), quiet=True)
    config_path(before).write_text(to_json(options))
    write_gaussians(point_cloud_path(before, 3), random_gaussians(60, sh_degree=0).to_arrays())
    return before.rename(after)


def test_what_was_made_of_the_dataset_is_found_where_the_model_is(moved: Path) -> None:
    scene = load_trained_scene(moved, read_options(moved).model, quiet=True)
    assert len(scene.train) > 3 and all(moved in view.image_path.parents for view in scene.train)
    assert not (moved.parent / "before").exists(), "nothing is made anew in the folder of then"


def test_export_looks_at_the_training_views_of_a_moved_model(moved: Path, tmp_path: Path) -> None:
    export.main(["-m", str(moved), str(tmp_path / "few.ply"), "--max_gaussians", "20", "--quiet"])
    assert (tmp_path / "few.ply").exists() and not (moved.parent / "before").exists()


def test_a_folder_that_is_no_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="config.json is not there; -m must name a folder that train.py left"):
        read_options(tmp_path)
