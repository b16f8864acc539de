"""The machine code of the built kernels, as nvdisasm prints it: where a number comes from, and how long a loop is."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from diff_gaussian_rasterization._native.toolchain import find_nvcc


def find_tool(name: str) -> str | None:
    """A program of the toolkit: beside nvcc, on the PATH, or of a package from PyPI (nvidia-cuda-nvdisasm)."""
    nvcc = find_nvcc()
    beside = [str(nvcc.parent)] if nvcc else []
    packages = [str(path) for path in Path(sysconfig.get_path("purelib"), "nvidia").glob("*/bin")]
    return next((found for path in [*beside, None, *packages] if (found := shutil.which(name, path=path))), None)


class Instruction(NamedTuple):
    guard: str  # "@P0", "@!P0" or nothing
    name: str  # with its modifiers: FFMA.FTZ
    operands: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.name.split(".")[0]


class Kernel(NamedTuple):
    name: str  # mangled
    code: tuple[Instruction, ...]
    labels: dict[str, int]  # the instruction that follows

    def all_of(self, name: str) -> list[int]:
        return [i for i, instruction in enumerate(self.code) if instruction.name == name]


LINE = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+ )?\s*([A-Z][\w.]*)\s*(.*?)\s*;")


def parse(text: str) -> Iterator[Kernel]:
    """The kernels in what nvdisasm prints."""
    for section in text.split("//--------------------- .text.")[1:]:
        code: list[Instruction] = []
        labels: dict[str, int] = {}
        for line in section.splitlines()[1:]:
            if line.startswith("//-----"):
                break
            if label := re.match(r"(\.L_x_\w+):", line):
                labels[label[1]] = len(code)
            elif found := LINE.match(line):
                operands = tuple(word.strip().replace(".reuse", "") for word in found[3].split(",")) if found[3] else ()
                code.append(Instruction((found[1] or "").strip(), found[2], operands))
        yield Kernel(section.split()[0], tuple(code), labels)


@cache
def kernels(built: Path, architecture: str, folder: Path, named: str) -> tuple[Kernel, ...]:
    """The kernels for `architecture` (sm_90) in an object file whose mangled names have `named` in them.

    `folder` is for what is taken out of the file.
    """
    cuobjdump, nvdisasm = find_tool("cuobjdump"), find_tool("nvdisasm")
    assert cuobjdump and nvdisasm
    subprocess.run([cuobjdump, "-xelf", f"{architecture}.cubin", built], cwd=folder, check=True, capture_output=True)
    (cubin,) = folder.glob(f"{built.stem}.*.{architecture}.cubin")
    wanted = ",".join(str(index) for index, name in functions(cubin.read_bytes()) if named in name)
    said = subprocess.run(
        [nvdisasm, "--no-dataflow", "-c", "-fun", wanted, cubin], capture_output=True, text=True, check=True
    )
    return tuple(kernel for kernel in parse(said.stdout) if named in kernel.name)


def functions(elf: bytes) -> Iterator[tuple[int, str]]:
    """The functions of a 64-bit ELF file: their places in the table of symbols, and names."""
    (sections,) = struct.unpack_from("<Q", elf, 0x28)
    size, count = struct.unpack_from("<HH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, sections + i * size) for i in range(count)]
    for header in headers:
        if header[1] != 2:  # SHT_SYMTAB
            continue
        names = headers[header[6]][4]
        for index in range(header[5] // 24):
            name, info = struct.unpack_from("<IB", elf, header[4] + 24 * index)
            if info & 15 == 2:  # STT_FUNC
                yield index, elf[names + name : elf.index(b"\0", names + name)].decode()


# ---- arithmetic


class Signed(NamedTuple):
    """A number as an expression, or its negative. Rounding is the same for both."""

    negative: bool
    text: str

    def __str__(self) -> str:
        return f"-{self.text}" if self.negative else self.text


def product(a: Signed, b: Signed) -> Signed:
    return Signed(a.negative != b.negative, "*".join(sorted((a.text, b.text))))


def total(a: Signed, b: Signed) -> Signed:
    first, second = sorted((a, b), key=lambda term: term.text)
    sign = "-" if first.negative != second.negative else "+"
    return Signed(first.negative, f"({first.text} {sign} {second.text})")


def fused(a: Signed, b: Signed, c: Signed) -> Signed:
    """a·b + c, rounded once."""
    ab = product(a, b)
    return Signed(ab.negative, f"fma({ab.text} {'-' if ab.negative != c.negative else '+'} {c.text})")


def words(instruction: Instruction) -> range:
    """The numbers of the registers that it writes."""
    match = re.fullmatch(r"R(\d+)", instruction.operands[0]) if instruction.operands else None
    if match is None or instruction.kind in {"STS", "STG", "ST", "STL"}:
        return range(0)
    size = {"128": 4, "64": 2}.get(instruction.name.split(".")[-1], 1)
    return range(int(match[1]), int(match[1]) + size)


class Arithmetic:
    """Where numbers of a piece of straight code come from: instructions [begin, end)."""

    def __init__(self, code: tuple[Instruction, ...], begin: int) -> None:
        self.code = code
        self.begin = begin

    def definition(self, register: int, before: int) -> int | None:
        return next((i for i in range(before - 1, self.begin - 1, -1) if register in words(self.code[i])), None)

    def value(self, operand: str, before: int) -> Signed:
        negative, name = operand.startswith("-"), operand.lstrip("-")
        if name == "RZ":
            return Signed(negative, "0")
        match = re.fullmatch(r"R(\d+)", name)
        if match is None:
            return Signed(negative, name)
        at = self.definition(int(match[1]), before)
        found = Signed(False, "pixel") if at is None else self.result(at, int(match[1]))
        return Signed(negative != found.negative, found.text)

    def result(self, at: int, register: int) -> Signed:
        """What the instruction `at` writes to a register."""
        instruction = self.code[at]
        if instruction.guard:
            return Signed(False, f"[{instruction.guard} {instruction.name}]")
        if instruction.kind == "LDS":
            offset = re.search(r"\+(-?0x[0-9a-f]+)\]", instruction.operands[1])
            place = int(offset[1], 16) if offset else 0
            return Signed(False, f"<{place + 4 * (register - words(instruction)[0])}>")
        values = [self.value(operand, at) for operand in instruction.operands[1:]]
        zero = [value.text == "0" for value in values]
        if instruction.name == "FADD.FTZ":
            return values[zero.index(False)] if any(zero) else total(*values)
        if instruction.name == "FMUL.FTZ":
            return product(*values)
        if instruction.name == "FFMA.FTZ":
            return fused(*values)
        if instruction.name.startswith(("MOV", "IMAD.MOV")):
            return values[-1]
        if instruction.kind.startswith(("I2F", "S2R", "LOP", "IMAD")):
            return Signed(False, "pixel")
        return Signed(False, f"[{instruction.name}]")


def exponent_before(kernel: Kernel, at: int) -> tuple[str, str]:
    """Of an exponential in a loop over records: its argument, and what its result is multiplied with.

    <n> is byte n of the record, counted from the first that the argument reads.
    """
    loop = innermost_loop(kernel, at)
    numbers = Arithmetic(kernel.code, min(loop.body))
    exponential = kernel.code[at]
    argument = str(numbers.value(exponential.operands[1], at))
    factor = ""
    for i in range(at + 1, max(loop.body)):
        if exponential.operands[0] in kernel.code[i].operands[1:]:
            if kernel.code[i].name == "FMUL.FTZ" and not kernel.code[i].guard:
                (other,) = [word for word in kernel.code[i].operands[1:] if word != exponential.operands[0]]
                factor = str(numbers.value(other, i))
            break
    first = min((int(place) for place in re.findall(r"<(-?\d+)>", argument)), default=0)

    def counted(text: str) -> str:
        return re.sub(r"<(-?\d+)>", lambda match: f"<{int(match[1]) - first}>", text)

    return counted(argument), counted(factor)


# ---- loops


class Loop(NamedTuple):
    header: int
    body: frozenset[int]


def successors(kernel: Kernel) -> list[list[int]]:
    """Where each instruction may go on. BRA.DIV leaves for lanes that have parted, which ours never have there."""
    found: list[list[int]] = []
    for i, instruction in enumerate(kernel.code):
        label = re.search(r"\((\.L_x_\w+)\)", instruction.operands[-1]) if instruction.operands else None
        always = not instruction.guard and len(instruction.operands) == 1
        following = [i + 1] if i + 1 < len(kernel.code) else []
        if instruction.kind == "BRA" and label and ".DIV" not in instruction.name:
            found.append([kernel.labels[label[1]], *([] if always else following)])
        else:
            ends = instruction.kind in {"EXIT", "RET"} and not instruction.guard
            found.append([] if ends else following)
    return found


def innermost_loop(kernel: Kernel, inside: int) -> Loop:
    """The smallest loop around an instruction."""
    follow = successors(kernel)
    before: list[list[int]] = [[] for _ in kernel.code]
    for i, targets in enumerate(follow):
        for target in targets:
            before[target].append(i)
    loops = []
    for header in {target for i, targets in enumerate(follow) for target in targets if target <= i}:
        body, waiting = {header}, [i for i in before[header] if i >= header]
        while waiting:
            i = waiting.pop()
            if i not in body:
                body.add(i)
                waiting += before[i]
        if inside in body and 0 not in body:
            loops.append(Loop(header, frozenset(body)))
    return min(loops, key=lambda loop: len(loop.body))


def round_trips(kernel: Kernel, through: int) -> tuple[int, int]:
    """Instructions of the shortest and the longest way once around the innermost loop, by way of an instruction."""
    loop, follow = innermost_loop(kernel, through), successors(kernel)

    @cache
    def ways(i: int, passed: bool) -> tuple[float, float]:
        """From instruction i back to the header: the shortest and the longest; infinite if there is none."""
        passed = passed or i == through
        shortest, longest = float("inf"), -float("inf")
        for target in follow[i]:
            if target == loop.header:
                least, most = (0.0, 0.0) if passed else (float("inf"), -float("inf"))
            elif target in loop.body:
                least, most = ways(target, passed)
            else:
                continue
            shortest, longest = min(shortest, least), max(longest, most)
        return shortest + 1, longest + 1

    shortest, longest = ways(loop.header, False)
    return int(shortest), int(longest)
