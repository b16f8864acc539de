"""Installs the trainer in place, and the rasterizer it uses. What is installed is said in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "submodules" / "diff-gaussian-rasterization"))

from build_commands import BuildPackage, setup_arguments

REFUSAL = (
    "error: the trainer is installed in place, by `pip install -e . --no-build-isolation`: copied into site-packages, "
    "its packages utils, scene and arguments would shadow modules of these names in other projects. The rasterizer "
    "alone is installed by `pip install ./submodules/diff-gaussian-rasterization`."
)


class EditableOnly(BuildPackage):
    """Refuses to copy the trainer's packages."""

    def run(self) -> None:
        if not self.editable_mode:
            raise SystemExit(REFUSAL)
        super().run()


arguments = setup_arguments()
arguments["cmdclass"]["build_py"] = EditableOnly
setup(**arguments)
