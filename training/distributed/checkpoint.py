"""Checkpoints of several ranks: a folder by torch.distributed.checkpoint, in which each rank writes its own rows.

The folder is made under another name and renamed when all is in it, with `sealed.json`, which has the digest of each
file. A run on any number of ranks goes on from it: each takes the rows of some of the ranks that wrote it, and they are
then spread evenly. What is no row is the same on all ranks and is kept once, as bytes that torch.load reads without
running any code.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from scene.gaussians.shard import Shard
from utils.distributed import ONE, Ranks
from utils.errors import UserError, reason
from utils.files import write_json
from utils.metrics_log import read_object

SHARDED_FORMAT = 1  # raised when a checkpoint of before can no longer be read
SEAL, REST = "sealed.json", "rest"
OF_ROWS = ("gaussians", "optimizer", "strategy", "ids")  # entries of the state with a row for each Gaussian in them
PLACE = "rows at "  # what stands in the rest for a tensor of rows, with its place
CHUNK = 2**22  # bytes
METADATA = ".metadata"  # which torch reads as a pickle
# What a pickle of torch's own metadata names; types of numbers are told by what they are.
OF_METADATA = {
    *(("torch.distributed.checkpoint.metadata", name) for name in (
        "Metadata", "MetadataIndex", "StorageMeta", "TensorProperties", "TensorStorageMetadata", "ChunkStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    )),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
}  # fmt: skip


def save_sharded(folder: Path, state: Mapping[str, Any], shard: Shard) -> None:
    """Write the state, all or nothing; a call of all ranks. OSError on all where one cannot write."""
    ranks = shard.ranks
    part = folder.with_name(f".{folder.name}.part")
    ranks.led(lambda: _make_empty(part))
    rows: dict[str, Tensor] = {}
    rest = {name: _without_rows(value, len(shard.ids), name, rows) for name, value in state.items() if name in OF_ROWS}
    rest |= {name: value for name, value in state.items() if name not in OF_ROWS}
    entries = {f"{place} {ranks.rank}": each for place, each in rows.items()}
    if ranks.leads:
        entries[REST] = _to_bytes(rest)
    fault = ranks.agree(_fault_of(lambda: _write(entries, part, ranks)))
    if fault is not None:
        ranks.led(lambda: shutil.rmtree(part, ignore_errors=True))
        raise OSError(f"{folder}: {fault}")
    own = {path.name: _digest(path) for path in sorted(part.glob(f"__{ranks.rank}_*.distcp"))}
    files = {name: digest for told in ranks.objects(own) for name, digest in told.items()}
    ranks.led(lambda: _seal(part, folder, {"ranks": ranks.size, "counts": shard.counts, "files": files}))


def load_sharded(folder: Path, required: Iterable[str], device: torch.device, ranks: Ranks = ONE) -> dict[str, Any]:
    """The state with some of the rows on each rank, all of them on one rank, in the order of their ids.

    UserError when it cannot be read, was changed since, or lacks one of the `required` entries.
    """
    sealed = ranks.led(lambda: check_sealed(folder))
    try:
        return _load(folder, sealed, required, device, ranks)
    except UserError:
        raise
    except BaseException as error:  # torch raises by what it finds in the files
        raise UserError(f"{folder} cannot be read as a checkpoint: {_said(error)}") from None


def dealt(state: dict[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Of a state that one rank has written, the rows of this rank."""
    count = len(state["gaussians"]["means"])
    own = slice(ranks.rank, None, ranks.size)
    rows = {
        name: _mapped(state[name], lambda each: each[own].contiguous() if each.dim() and len(each) == count else each)
        for name in OF_ROWS
        if name in state
    }
    device = state["gaussians"]["means"].device
    ids = torch.arange(ranks.rank, count, ranks.size, device=device)
    return {**state, **rows, "ids": ids, "created": count}


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed run has left of checkpoints that it had not finished."""
    for path in folder.glob(".chkpnt*.part"):
        shutil.rmtree(path, ignore_errors=True)


# ---- writing


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _write(entries: dict[str, Any], folder: Path, ranks: Ranks) -> None:
    from torch.distributed import (
        checkpoint as dcp,  # here: the import takes a second, which most runs need not wait for
    )

    with _without_advice():
        writer = dcp.FileSystemWriter(folder, single_file_per_rank=True, sync_files=True)
        dcp.save(entries, storage_writer=writer, process_group=ranks.host)


def _fault_of(write: Callable[[], None]) -> str | None:
    try:
        write()
    except BaseException as error:
        return _said(error)
    return None


def _said(error: BaseException) -> str:
    """What went wrong, in a line. DCP wraps whatever that was on some of the ranks in an error that is no Exception.

    Raises: the error itself where it is of nothing that went wrong, as Ctrl-C.
    """
    failures = getattr(error, "failures", None)
    if isinstance(failures, dict) and failures:
        first, *_ = next(iter(failures.values()))
        return _said(first)
    if not isinstance(error, Exception):
        raise error
    return reason(error).splitlines()[0]


def _seal(part: Path, folder: Path, facts: dict[str, Any]) -> None:
    facts["files"][METADATA] = _digest(part / METADATA)
    write_json(part / SEAL, {"format": SHARDED_FORMAT, **facts})
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=32)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _to_bytes(rest: Mapping[str, Any]) -> Tensor:
    buffer = io.BytesIO()
    torch.save(rest, buffer)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _without_rows(value: Any, count: int, place: str, rows: dict[str, Tensor]) -> Any:
    """`value` with its place instead of each tensor of `count` rows; the tensors go to `rows` by place."""
    if isinstance(value, Tensor) and value.dim() and len(value) == count:
        rows[place] = value
        return PLACE + place
    if isinstance(value, Mapping):
        return {name: _without_rows(each, count, f"{place}.{name}", rows) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_rows(each, count, f"{place}.{i}", rows) for i, each in enumerate(value))
    return value


# ---- reading


def check_sealed(folder: Path) -> dict[str, Any]:
    """What the seal says. UserError unless all bytes of the checkpoint are as they were written."""
    sealed = read_object(folder / SEAL)
    if sealed.get("format") != SHARDED_FORMAT or not isinstance(sealed.get("files"), dict):
        raise UserError(f"{folder} is not a checkpoint of several ranks of this trainer (format {SHARDED_FORMAT})")
    for name, digest in sealed["files"].items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            raise UserError(f"{folder / name} is damaged: its bytes are not those that were written")
    return sealed


def _load(
    folder: Path, sealed: Mapping[str, Any], required: Iterable[str], device: torch.device, ranks: Ranks
) -> dict[str, Any]:
    from torch.distributed import checkpoint as dcp

    _check_metadata(folder / METADATA)
    known = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    writers = range(ranks.rank, int(sealed["ranks"]), ranks.size)
    wanted = {name: _like(known[name], "cpu") for name in [REST]}
    places = sorted({name.rpartition(" ")[0] for name in known if name != REST})
    for place in places:
        wanted |= {f"{place} {writer}": _like(known[f"{place} {writer}"], device) for writer in writers}
    with _without_advice():
        dcp.load(wanted, storage_reader=dcp.FileSystemReader(folder), no_dist=True)
    rest = torch.load(io.BytesIO(wanted[REST].numpy().tobytes()), map_location=device, weights_only=True)
    missing = [name for name in required if name not in rest]
    if missing:
        raise UserError(f"{folder} is not whole: it lacks {', '.join(missing)}")
    rows = {}
    for place in places:
        several = [wanted[f"{place} {writer}"] for writer in writers]
        rows[place] = torch.cat(several) if several else _like(known[f"{place} 0"], device)[:0]
    order = rows["ids"].argsort()
    return {name: _with_rows(value, rows, order) for name, value in rest.items()}


def _check_metadata(path: Path) -> None:
    """UserError for a pickle that names what torch's metadata do not have: it may run any code."""
    with open(path, "rb") as file:
        _Metadata(file, path).load()


class _Metadata(pickle.Unpickler):
    """Makes nothing but what metadata are made of."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) not in OF_METADATA and not is_dtype:
            raise UserError(f"{self.path} names {module}.{name}, which is no part of a checkpoint: it is not read")
        return super().find_class(module, name)


def _like(entry: Any, device: str | torch.device) -> Tensor:
    return torch.empty(entry.size, dtype=entry.properties.dtype, device=device)


def _with_rows(value: Any, rows: Mapping[str, Tensor], order: Tensor) -> Any:
    if isinstance(value, str) and value.startswith(PLACE):
        return rows[value.removeprefix(PLACE)][order]
    if isinstance(value, Mapping):
        return {name: _with_rows(each, rows, order) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_rows(each, rows, order) for each in value)
    return value


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(each, change) for name, each in value.items()}
    return type(value)(_mapped(each, change) for each in value) if isinstance(value, (list, tuple)) else value


class _without_advice(warnings.catch_warnings):
    """Without what torch's checkpoints say to programmers."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.simplefilter("ignore")
        return entered
