"""Model folders: results are never lost unasked, and the dataset is never written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.errors import UserError
from utils.output_dir import claim, default_folder, holds_run, point_cloud_path, saved_iterations


def finished_run(folder: Path) -> None:
    for path in (point_cloud_path(folder, 7000), folder / "config.json", folder / "test/ours_7000/gt/00000.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "notes.txt").write_text("mine")


def test_a_new_folder_is_made(tmp_path: Path) -> None:
    claim(tmp_path / "a" / "b", tmp_path / "data", overwrite=False)
    assert (tmp_path / "a" / "b").is_dir()


def test_results_are_kept_unless_asked(tmp_path: Path) -> None:
    model = tmp_path / "out"
    finished_run(model)
    with pytest.raises(UserError, match="7000 iterations.*--resume.*--overwrite"):
        claim(model, tmp_path / "data", overwrite=False)
    assert saved_iterations(model) == [7000]
    claim(model, tmp_path / "data", overwrite=True)
    assert not holds_run(model) and not (model / "test/ours_7000").exists() and not (model / "config.json").exists()
    assert (model / "notes.txt").read_text() == "mine"


def test_a_checkpoint_is_a_result_and_settings_alone_are_not(tmp_path: Path) -> None:
    model = tmp_path / "out"
    model.mkdir()
    (model / "config.json").touch()
    claim(model, tmp_path / "data", overwrite=False)
    (model / "chkpnt10.pth").touch()
    with pytest.raises(UserError, match="holds a run"):
        claim(model, tmp_path / "data", overwrite=False)


@pytest.mark.parametrize("place", [".", "output/model"])
def test_the_dataset_is_never_written_to(place: str, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="never written to"):
        claim(tmp_path / place, tmp_path, overwrite=True)
    assert (tmp_path / "train").is_dir()


def test_a_file_is_no_model_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="is a file"):
        claim(tmp_path / "out", tmp_path / "data", overwrite=True)


def test_the_default_folder_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folder(tmp_path / "garden") == Path("output/garden")
    finished_run(Path("output/garden"))
    assert default_folder(tmp_path / "garden") == Path("output/garden-2")
