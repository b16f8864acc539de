"""Model folders: results are never lost unasked, and the dataset is never written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from arguments import TrainOptions, to_json
from utils import output_dir
from utils.errors import UserError
from utils.output_dir import claim, config_path, default_folder, holds_run, point_cloud_path, saved_iterations

FOREIGN = (
    "config.json", "cfg_args", "cameras.json", "input.ply", "results.json", "per_view.json", "metrics.jsonl",
    "run.json", "report.html", "preview.png", "chkpnt7.pth",
    "point_cloud/iteration_5/point_cloud.ply", "test/ours_9/names.json",
)  # fmt: skip


def finished_run(folder: Path) -> None:
    for path in (point_cloud_path(folder, 7000), folder / "run.json", folder / "test/ours_7000/gt/00000.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    config_path(folder).write_text(to_json(TrainOptions()))
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
    config_path(model).write_text(to_json(TrainOptions()))
    claim(model, tmp_path / "data", overwrite=False)
    config_path(model).write_text(to_json(TrainOptions()))
    (model / "chkpnt10.pth").touch()
    with pytest.raises(UserError, match="holds a run"):
        claim(model, tmp_path / "data", overwrite=False)


@pytest.mark.parametrize("place", [".", "output/model"])
def test_the_dataset_is_never_written_to(place: str, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="never written to"):
        claim(tmp_path / place, tmp_path, overwrite=True)
    assert (tmp_path / "train").is_dir()


@pytest.mark.parametrize("below", [".", "model", "a/b/c"])
def test_a_file_is_no_model_folder(below: str, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match=f"{tmp_path / 'out'} is a file"):
        claim(tmp_path / "out" / below, tmp_path / "data", overwrite=True)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_dir.os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
    with pytest.raises(UserError, match=f"nothing may be written in {tmp_path}"):
        claim(tmp_path / "out", tmp_path / "data", overwrite=False)


@pytest.mark.parametrize(("name", "kind"), [("point_cloud", "file"), ("test", "file"), ("run.json", "folder")])
def test_a_name_that_is_taken_by_something_else(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).touch() if kind == "file" else (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is a {kind}; a run makes a"):
        claim(tmp_path, tmp_path.parent / "data", overwrite=True)
    assert (tmp_path / name).exists()


def test_the_default_folder_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folder(tmp_path / "garden") == Path("output/garden")
    finished_run(Path("output/garden"))
    assert default_folder(tmp_path / "garden") == Path("output/garden-2")
    Path("output/garden-2").mkdir()
    Path("output/garden-2/report.html").touch()
    assert default_folder(tmp_path / "garden") == Path("output/garden-3")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_run_has_left_is_refused_by_name(name: str, overwrite: bool, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / name).parent.mkdir(parents=True)
    (project / name).write_text('{"model": "mine"}')
    with pytest.raises(UserError, match=f"would replace.*: {name}; choose another folder"):
        claim(project, tmp_path / "data", overwrite)
    assert (project / name).read_text() == '{"model": "mine"}'


def test_many_names_are_counted(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"chkpnt{number}.pth").touch()
    with pytest.raises(UserError, match=r"chkpnt\d.pth and 4 more"):
        claim(tmp_path, tmp_path.parent / "data", overwrite=True)


def test_files_of_others_in_the_folders_of_a_run_stay(tmp_path: Path) -> None:
    model = tmp_path / "out"
    finished_run(model)
    mine = [
        "test/ours_7000/mine.txt", "test/ours_7000/gt/mine.png", "test/ours_x/gt/00000.png", "chkpnt7.pth.bak",
        "point_cloud/iteration_7000/copy.ply", "point_cloud/iteration_best/point_cloud.ply", "train/00001.png",
    ]  # fmt: skip
    for name in mine:
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).touch()
    claim(model, tmp_path / "data", overwrite=True)
    left = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert left == {*mine, "notes.txt"}


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"[" * 100_000, b"[1]", b'{"model": []}'])
def test_a_config_of_something_else_is_no_marker(data: bytes, tmp_path: Path) -> None:
    config_path(tmp_path).write_bytes(data)
    with pytest.raises(UserError, match="config.json; choose another"):
        claim(tmp_path, tmp_path.parent / "data", overwrite=True)
