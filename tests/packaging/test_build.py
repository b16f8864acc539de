"""The native build and the packaging: small made-up sources stand for the real ones, so that they compile at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from diff_gaussian_rasterization import _native
from diff_gaussian_rasterization._native import builder, cache, toolchain
from diff_gaussian_rasterization._native.plan import LIBRARY, variants

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
EXTENSION = REPOSITORY / "submodules" / "diff-gaussian-rasterization"

TINY_SOURCES = {
    "shared.h": "#pragma once\ninline int one() { return 1; }\n",
    "cpu/kernels.cpp": '#include "../shared.h"\n#define N(a) kernel_##a\n#define NAME(a) N(a)\n'
    "int NAME(DGR_ISA)() { return one(); }\n",
    "cpu/dispatch.cpp": "int two() { return 2; }\n",
    "ops.cpp": 'extern "C" __attribute__((visibility("default"))) int answer() { return 42; }\n',
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a csrc/ that compiles in a moment."""
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    root = tmp_path / "tree"
    for name, text in TINY_SOURCES.items():
        path = root / "csrc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield root


def edit(root: Path, name: str, old: str, new: str) -> None:
    path = root / "csrc" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def object_times(directory: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in directory.glob("*.o")}


def rebuilt(root: Path, directory: Path) -> set[str]:
    """The objects that a build makes anew."""
    before = object_times(directory)
    builder.build(root, directory)
    return {name for name, time in object_times(directory).items() if before.get(name) != time}


def forbid_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **_: object) -> None:
        raise AssertionError(f"a process was started: {words}")

    monkeypatch.setattr(subprocess, "run", refuse)


KERNEL_OBJECTS = {f"kernels_{name}" for name in variants()}


def test_a_second_build_does_nothing(tree, tmp_path, monkeypatch, capfd):
    library = builder.build(tree, tmp_path / "build")
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and f"compiling {2 + len(KERNEL_OBJECTS)} files" in said
    assert object_times(tmp_path / "build").keys() == {"ops", "cpu_dispatch"} | KERNEL_OBJECTS

    forbid_processes(monkeypatch)
    time = library.stat().st_mtime_ns
    assert builder.build(tree, tmp_path / "build") == library
    assert library.stat().st_mtime_ns == time and capfd.readouterr().err == ""


def test_an_edit_compiles_what_it_touches(tree, tmp_path, capfd):
    builder.build(tree, tmp_path / "build")
    capfd.readouterr()
    edit(tree, "cpu/dispatch.cpp", "2;", "22;")
    assert rebuilt(tree, tmp_path / "build") == {"cpu_dispatch"}
    assert "compiling 1 file with" in capfd.readouterr().err
    edit(tree, "shared.h", "1;", "11;")  # a header: every object that includes it
    assert rebuilt(tree, tmp_path / "build") == KERNEL_OBJECTS
    (tree / "csrc" / "cpu" / "more.cpp").write_text("int three() { return 3; }\n")
    assert rebuilt(tree, tmp_path / "build") == {"cpu_more"}


def test_the_kernels_are_compiled_for_each_instruction_set_without_torch(tree):
    compiler, torch = toolchain.require_compiler(), toolchain.require_torch()
    steps = {s.compiles: s.command for s in builder.plan(tree, tree / "build", compiler, torch) if s.compiles}
    assert all(f"-DDGR_ISA={name}" in steps[f"kernels_{name}"] for name in variants())
    assert all(("TORCH_TARGET_VERSION" in steps[name]) == (name not in KERNEL_OBJECTS) for name in steps)
    assert not any("-ffast-math" in command for command in steps.values())


def test_without_ninja_it_is_built_all_the_same(tree, tmp_path, monkeypatch):
    import ctypes

    monkeypatch.setattr(builder, "find_ninja", lambda: None)
    library = builder.build(tree, tmp_path / "build with spaces")
    assert ctypes.CDLL(str(library)).answer() == 42
    forbid_processes(monkeypatch)
    assert builder.build(tree, tmp_path / "build with spaces") == library


def test_ninja_copes_with_spaces(tree, tmp_path):
    moved = tree.rename(tmp_path / "a tree $HOME")
    assert builder.build(moved, moved / "build").is_file()
    assert rebuilt(moved, moved / "build") == set()


@pytest.mark.parametrize("ninja", [True, False], ids=["ninja", "no ninja"])
def test_a_mistake_is_shown_with_its_line_and_command(tree, tmp_path, monkeypatch, ninja):
    if not ninja:
        monkeypatch.setattr(builder, "find_ninja", lambda: None)
    edit(tree, "cpu/dispatch.cpp", "2;", "no_such_name;")
    with pytest.raises(ImportError) as caught:
        builder.build(tree, tmp_path / "build")
    message = str(caught.value)
    assert "csrc/cpu/dispatch.cpp:1:" in message and "no_such_name" in message
    assert "-c csrc/cpu/dispatch.cpp" in message
    edit(tree, "cpu/dispatch.cpp", "no_such_name;", "2;")
    assert builder.build(tree, tmp_path / "build").is_file()


def test_a_missing_compiler_is_said_in_one_sentence(tree, tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match=r"needs a C\+\+17 compiler .* `apt install g\+\+`"):
        builder.build(tree, tmp_path / "build")
    monkeypatch.setenv("CXX", "no-such-compiler -x")
    with pytest.raises(ImportError, match="'no-such-compiler -x', which is not there"):
        builder.build(tree, tmp_path / "build")


def test_a_library_outlives_its_compiler(tree, tmp_path, monkeypatch):
    library, cached = builder.build(tree, tmp_path / "build"), cache.build_cached(tree)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert builder.build(tree, tmp_path / "build") == library
    assert cache.build_cached(tree) == cached
    edit(tree, "ops.cpp", "42", "43")
    for build in (lambda: builder.build(tree, tmp_path / "build"), lambda: cache.build_cached(tree)):
        with pytest.raises(ImportError, match="compiler"):
            build()


@pytest.mark.parametrize(
    ("torch", "found"),
    [(None, "found none"), (toolchain.Torch(Path("/somewhere"), "2.9.1"), "found 2.9.1 in /somewhere")],
)
def test_a_missing_or_old_torch_is_said(tree, tmp_path, monkeypatch, torch, found):
    for module in (toolchain, builder):
        monkeypatch.setattr(module, "find_torch", lambda: torch)
    with pytest.raises(ImportError, match=rf"torch 2\.10 or newer .* {found}"):
        builder.build(tree, tmp_path / "build")


def test_the_cache_is_keyed_by_the_sources(tree, capfd):
    key = cache.source_key(tree)
    first = cache.build_cached(tree)
    assert first.parent.name.startswith(key)
    assert "compiling" in capfd.readouterr().err
    assert cache.build_cached(tree) == first and capfd.readouterr().err == ""
    assert sorted(p.name for p in first.parent.iterdir()) == sorted([LIBRARY, "lock"])  # no leavings
    edit(tree, "shared.h", "1;", "11;")
    assert cache.source_key(tree) != key
    assert cache.build_cached(tree) != first and first.is_file()
    edit(tree, "shared.h", "11;", "1;")
    assert cache.source_key(tree) == key


def test_a_cache_that_cannot_be_written_names_the_way_out(tree, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(ImportError, match=f"set {cache.CACHE_VARIABLE}"):
        cache.build_cached(tree)


def build_wheel(root: Path, folder: Path, sees_torch: bool) -> Path:
    """The wheel that `root`'s setup.py makes where torch can, or cannot, be imported."""
    hide = "" if sees_torch else "sys.modules['torch'] = None; "
    arguments = ["setup.py", "-q", "bdist_wheel", "-d", str(folder)]
    code = f"import runpy, sys; {hide}sys.argv = {arguments}; runpy.run_path('setup.py', run_name='__main__')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root, check=True, capture_output=True, timeout=60)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_wheels(tree, tmp_path):
    """One with the library inside, then, from the same folder, one with the sources, which compile when imported."""
    skip = shutil.ignore_patterns("csrc", "build", "*.egg-info", "__pycache__")
    shutil.copytree(EXTENSION, tree, ignore=skip, dirs_exist_ok=True)
    package = tree / "diff_gaussian_rasterization"
    for module in package.glob("*.py"):
        module.unlink()
    (package / "__init__.py").write_text("from ._native import load\n")

    wheel = build_wheel(tree, tmp_path / "binary", sees_torch=True)
    names = zipfile.ZipFile(wheel).namelist()
    assert re.search(r"-py3-none-(linux|macosx)_\w+\.whl$", wheel.name)
    assert f"diff_gaussian_rasterization/{LIBRARY}" in names and not any("csrc" in name for name in names)

    wheel = build_wheel(tree, tmp_path / "sources", sees_torch=False)
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not any(name.endswith(".so") for name in names)
    assert {f"diff_gaussian_rasterization/csrc/{name}" for name in TINY_SOURCES} <= set(names)

    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = "import diff_gaussian_rasterization as d; print(d.load())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    words = [sys.executable, "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    together = [subprocess.Popen(words, cwd=tmp_path, env=environment, **pipes) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in together]
    assert all(process.returncode == 0 for process in together), outputs
    assert len({library for library, _ in outputs}) == 1 and Path(outputs[0][0].strip()).is_file()
    assert sum("compiling" in said for _, said in outputs) == 1  # the other one waited


def listed(text: str, start: str, end: str) -> list[str]:
    """The items between two lines of a YAML or TOML list."""
    lines = [line.split("#")[0].strip() for line in text.split(start, 1)[1].split(end, 1)[0].splitlines()]
    return [line.removeprefix("- ").strip(' ,"') for line in lines if line.strip(' ,"')]


def test_conda_and_pip_install_the_same():
    dependencies = listed((REPOSITORY / "pyproject.toml").read_text(), "\ndependencies = [", "\n]")
    assert "torch>=2.10" in dependencies and "ninja" in dependencies
    assert listed((REPOSITORY / "environment.yml").read_text(), "- pip:", "\n\n") == dependencies


@pytest.mark.parametrize("folder", [REPOSITORY, EXTENSION], ids=["root", "extension"])
def test_torch_is_never_a_build_requirement(folder):
    requires = re.search(r"^requires = \[(.*?)\]", (folder / "pyproject.toml").read_text(), re.MULTILINE)
    assert requires is not None and "setuptools" in requires[1]
    assert "torch" not in requires[1]


@pytest.fixture(scope="module")
def built() -> Path:
    """The real build folder, where this checkout has one."""
    library = _native.load()
    if not (library.parent / "build.ninja").exists():
        pytest.skip("the extension in use was not built in this checkout")
    return library.parent


def symbols(file: Path, *options: str) -> list[tuple[str, str]]:
    """(type, name) of the symbols that a file defines."""
    if shutil.which("nm") is None:
        pytest.skip("there is no nm here")
    output = subprocess.run(["nm", "--defined-only", *options, str(file)], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2)[1:] for line in output.stdout.splitlines()]
    return [(row[0], row[1]) for row in rows if len(row) == 2]


def test_variants_share_no_code(built):
    """The linker keeps one copy of an inline function: it must not be one that this machine cannot run."""
    names = {name: {s for kind, s in symbols(built / f"kernels_{name}.o") if kind in "WVu"} for name in variants()}
    allowed = {name: {s for s in found if name not in s} for name, found in names.items()}
    assert allowed == {name: set() for name in variants()}


def test_the_library_exports_nothing_of_its_own(built):
    exported = [name for kind, name in symbols(built / LIBRARY, "-D") if kind not in "WVu"]
    assert exported == []


# ---- CUDA: a script stands for nvcc, so that the tests run without one, and quickly with one

FAKE_NVCC = """#!/bin/sh
case "$*" in
  --version) echo "Cuda compilation tools, release ${FAKE_RELEASE:-13.0}, V13.0.88" ;;
  --dryrun*) echo '#$ LIBRARIES=  "-L@HOME@/lib64/stubs" "-L@HOME@/lib64"' >&2 ;;
  --list-gpu-code) printf 'sm_75\\nsm_80\\nsm_86\\nsm_90\\nsm_121\\nsm_120\\n' ;;
  *) while [ $# -gt 0 ]; do
       case "$1" in -c) source=$2 ;; -o) object=$2 ;; -MF) echo "$0: $source" > "$2" ;; esac
       shift
     done
     echo "ptxas info : Used 7 registers"
     printf '%s: %s\\n' "$object" "$source" > "$object.d"
     exec g++ -fPIC -x c++ -c "$source" -o "$object" ;;
esac
"""


@pytest.fixture
def nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toolkit in a folder of its own, with a compiler and an empty runtime."""
    home = tmp_path / "toolkit"
    for folder in ("bin", "lib64"):
        (home / folder).mkdir(parents=True)
    file = home / "bin" / "nvcc"
    file.write_text(FAKE_NVCC.replace("@HOME@", str(home)))
    file.chmod(0o755)
    subprocess.run(["ar", "rcs", str(home / "lib64" / "libcudart_static.a")], check=True)
    for name in (toolchain.CUDA_SWITCH, toolchain.ARCHITECTURES_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_HOME", str(home))
    return file


@pytest.fixture
def cuda_tree(tree: Path) -> Path:
    """The tree with two files for CUDA: a kernel, and the glue that knows what it was built for."""
    (tree / "csrc" / "cuda").mkdir()
    (tree / "csrc" / "cuda" / "kernel.cu").write_text('#include "../shared.h"\nint kernel() { return one(); }\n')
    (tree / "csrc" / "cuda" / "device_guard.cpp").write_text(
        'extern "C" __attribute__((visibility("default"))) const char* built_for() { return DGR_CUDA_BUILD; }\n'
    )
    return tree


def built_for(library: Path) -> str | None:
    """What a library was told that it is built for; None if it has no CUDA."""
    found = re.search(rb"\d+\.\d+(?: (?:sm|compute)_\w+)+", library.read_bytes())
    return found[0].decode() if found else None


@pytest.mark.parametrize("ninja", [True, False], ids=["ninja", "no ninja"])
def test_cuda_is_built_where_there_is_nvcc(cuda_tree, nvcc, tmp_path, monkeypatch, capfd, ninja):
    if not ninja:
        monkeypatch.setattr(builder, "find_ninja", lambda: None)
    library = builder.build(cuda_tree, tmp_path / "a build")
    assert capfd.readouterr().err.endswith(" and nvcc, a minute or two\n")
    assert built_for(library) == "13.0 sm_75 sm_80 sm_90 sm_120 compute_120"
    assert "Used 7 registers" in (tmp_path / "a build" / "cuda_kernel.ptxas").read_text()


def test_an_edit_compiles_cuda_too(cuda_tree, nvcc, tmp_path, capfd):
    builder.build(cuda_tree, tmp_path / "build")
    edit(cuda_tree, "cpu/dispatch.cpp", "2;", "22;")
    capfd.readouterr()
    assert rebuilt(cuda_tree, tmp_path / "build") == {"cpu_dispatch"}
    assert "nvcc" not in capfd.readouterr().err
    edit(cuda_tree, "cuda/kernel.cu", "one()", "one() + 1")
    assert rebuilt(cuda_tree, tmp_path / "build") == {"cuda_kernel"}


def test_architectures_can_be_chosen(cuda_tree, nvcc, tmp_path, monkeypatch):
    builder.build(cuda_tree, tmp_path / "build")
    monkeypatch.setenv(toolchain.ARCHITECTURES_VARIABLE, "8.6; 9.0a+PTX")
    assert rebuilt(cuda_tree, tmp_path / "build") == {"cuda_kernel", "cuda_device_guard"}
    assert built_for(tmp_path / "build" / LIBRARY) == "13.0 sm_86 sm_90a compute_90a"
    assert toolchain.parse_architectures("9.0") == ("sm_90",)
    monkeypatch.setenv(toolchain.ARCHITECTURES_VARIABLE, "Hopper")
    with pytest.raises(ImportError, match=r"TORCH_CUDA_ARCH_LIST is 'Hopper'; it must be a list like '8.6;9.0\+PTX'"):
        builder.build(cuda_tree, tmp_path / "build")


def test_cuda_can_be_switched_off(cuda_tree, nvcc, tmp_path, monkeypatch, capfd):
    library = builder.build(cuda_tree, tmp_path / "build")
    cached = cache.build_cached(cuda_tree)
    assert built_for(cached) is not None
    monkeypatch.setenv(toolchain.CUDA_SWITCH, "0")
    assert built_for(builder.build(cuda_tree, tmp_path / "build")) is None
    other = cache.build_cached(cuda_tree)
    assert other != cached and built_for(other) is None
    monkeypatch.delenv(toolchain.CUDA_SWITCH)
    capfd.readouterr()
    assert built_for(builder.build(cuda_tree, tmp_path / "build")) is not None and library.is_file()
    assert capfd.readouterr().err == ""  # linked again, nothing compiled


def test_without_nvcc_there_is_no_cuda_and_no_noise(cuda_tree, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(builder, "find_nvcc", lambda: None)
    library = builder.build(cuda_tree, tmp_path / "build")
    assert built_for(library) is None and capfd.readouterr().err.count("\n") == 1


def test_a_library_outlives_its_nvcc(cuda_tree, nvcc, tmp_path, monkeypatch):
    builder.build(cuda_tree, tmp_path / "build")
    monkeypatch.setattr(toolchain, "find_nvcc", lambda: None)
    assert builder.is_fresh(cuda_tree, tmp_path / "build")


def test_an_nvcc_that_will_not_do_is_an_error_with_a_way_out(cuda_tree, nvcc, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_RELEASE", "11.8")
    with pytest.raises(ImportError, match=r"needs CUDA 12.0 or newer and found release 11.8 in .*nvcc.* DGR_CUDA=0"):
        builder.build(cuda_tree, tmp_path / "build")
    monkeypatch.delenv("FAKE_RELEASE")
    edit(cuda_tree, "cuda/kernel.cu", "one()", "no_such_name()")
    with pytest.raises(ImportError, match=r"(?s)csrc/cuda/kernel.cu:2:.*no_such_name.*DGR_CUDA=0 in the environment"):
        builder.build(cuda_tree, tmp_path / "build")
    nvcc.write_text("#!/bin/sh\necho broken >&2; exit 1\n")
    with pytest.raises(ImportError, match=r"(?s)nvcc --version` failed: broken.*DGR_CUDA=0"):
        builder.build(cuda_tree, tmp_path / "build")


def test_where_nvcc_is_looked_for(nvcc, tmp_path, monkeypatch):
    assert toolchain.find_nvcc() == nvcc
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(nvcc.parent))
    assert toolchain.find_nvcc() == nvcc
    monkeypatch.setattr(toolchain, "MACOS", True)
    assert toolchain.find_nvcc() is None


def test_the_library_needs_neither_torchs_cuda_nor_cudas_own(built):
    """So that it loads under a torch without CUDA, and without a driver."""
    if shutil.which("readelf") is None:
        pytest.skip("there is no readelf here")
    read = subprocess.run(["readelf", "-d", str(built / LIBRARY)], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", read))
    assert "libtorch_cpu.so" in needed and not any("cuda" in name for name in needed)
    undefined = subprocess.run(
        ["nm", "-D", "-u", str(built / LIBRARY)], capture_output=True, text=True, check=True
    ).stdout
    assert "aoti_torch" in undefined and not re.search(r"\bcuda|\bcu[A-Z]|_cuda_", undefined)
