"""Gates on the compiled kernels: no spilled sums, no foreign instructions, no symbols that the linker could mix up.

The objects are those of a Release build by GCC or Clang: in SANDERLING_BUILD_DIR, else the newest in build/*. Those for
Arm are compiled here, into build/aarch64, where the cross compiler is there.
"""

import functools
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The processor of each instruction set: "any", or what uname calls it.
PROCESSORS = dict(re.findall(r"^ISA\((\w+), (\w+),", (ROOT / "csrc/kernels/cpu/isas.inc").read_text(), re.MULTILINE))
ISAS = list(PROCESSORS)
CROSS_COMPILER = "aarch64-linux-gnu-g++"

# References to the stack by a vector register that one tile may contain. A sum that is kept in memory costs two (a
# load and a store), in each step of the inner loop; a tile that GCC 12 spills in earnest has 30 and more, and half
# the speed.
BUDGET = 4

X86_64, AARCH64 = 62, 183  # e_machine of the ELF header
VECTOR_ON_STACK = {
    # Without AVX the frame pointer is one register of many, and scalars on the stack are parts of vectors to be loaded.
    X86_64: re.compile(
        r"\bv\w+ .*(?:%[xyz]mm\d+.*\(%r[sb]p|\(%r[sb]p.*%[xyz]mm\d+)"
        r"|\t(?!v|\w+s[sd] )\w+ .*(?:%xmm\d+.*\(%rsp|\(%rsp.*%xmm\d+)"
    ),
    # q registers only: the lower halves d8 to d15 are saved for the caller, once per call.
    AARCH64: re.compile(r"\b(?:ld|st)\w+\s+\{?[qv]\d+.*\[(?:sp|x29)"),
}
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$", re.MULTILINE)
INSTRUCTION = re.compile(r"\t([^<\n]+)")  # without the place that a jump or call goes to

# The x86 unit from which on an instruction may be used: the first pattern that it matches says so.
BEYOND_ALL = "beyond all units"
X86_UNITS = ["scalar", "sse41", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", BEYOND_ALL]
FIRST_UNIT = {
    BEYOND_ALL: re.compile(
        r"^(?:v?aes|v?pclmul|sha\d|vsha|v?gf2p8|vpermb|vperm[it]2b|vpmultishift|vpcompress[bw]|vpexpand[bw]|vpsh[lr]d"
        r"|vpopcnt|vpmadd52|vp2intersect|v\w+(?:ph|sh)\b|vfrcz|vpro[lr]t|tdp|tile)"
        r"|^(?:andn|bextr|bls\w+|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|adcx|adox|lzcnt|movbe|rdrand|rdseed)[lqw]?\b"
    ),
    "avx512_bf16": re.compile(r"bf16"),
    "avx_vnni": re.compile(r"^\{vex\} vpdp"),
    "avx512_vnni": re.compile(r"%zmm|%k[0-7]|%[xy]mm(?:1[6-9]|2\d|3[01])\b|\{1to|^vpdp"),
    # Compilers take SSE4.2 and POPCNT for granted where there is AVX.
    "avx2": re.compile(r"^v(?!er[rw])|^(?:popcnt|crc32|pcmpgtq|pcmp[ei]str)"),
    "sse41": re.compile(
        r"^(?:pm(?:in|ax)(?:sb|sd|uw|ud)|pmul(?:ld|dq|hrsw)|pmov[sz]x|p?blend|round[ps][sd]|ptest|pextr[bdq]|pinsr[bdq]"
        r"|insertps|extractps|dpp[sd]|packusdw|pcmpeqq|movntdqa|mpsadbw|phminposuw|pshufb|ph(?:add|sub)|pmaddubsw"
        r"|psign|pabs|palignr|addsubp|h(?:add|sub)p|movddup|movs[hl]dup|lddqu)"
    ),
}
# They run only after a look at the CPU (drift/wide.h).
GUARDED = "_avx2"


def machine_of(path: Path) -> int:
    """The ELF machine number of an object file."""
    machine: int = struct.unpack_from("<H", path.read_bytes()[:20], 18)[0]
    return machine


def tool(name: str, machine: int) -> str:
    """The path of a binutils program that reads objects of `machine`; skips the test where there is none."""
    prefix = {X86_64: "x86_64-linux-gnu-", AARCH64: "aarch64-linux-gnu-"}[machine]
    native = {"x86_64": X86_64, "aarch64": AARCH64}.get(os.uname().machine)
    names = [prefix + name] + ([name] if machine == native else [])
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip(f"none of {', '.join(names)} was found: install binutils to check the kernels")
    return found


def is_release(folder: Path) -> bool:
    """Whether a CMake build folder optimizes and is free of sanitizers."""
    cache = folder / "CMakeCache.txt"
    text = cache.read_text() if cache.exists() else ""
    build_type = re.search(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", text, re.MULTILINE)
    sanitize = re.search(r"^SANDERLING_SANITIZE:\w+=(.+)$", text, re.MULTILINE)
    return build_type is not None and build_type[1] in ("", "Release") and sanitize is None


def kernel_objects() -> dict[str, Path]:
    """The newest object of each instruction set, by its name."""
    given = os.environ.get("SANDERLING_BUILD_DIR")
    folders = [Path(given)] if given else [f for f in (ROOT / "build").glob("*") if is_release(f)]
    pattern = "CMakeFiles/sanderling_isa_*.dir/csrc/kernels/cpu/isa_unit.cc.o"
    objects = [path for folder in folders for path in folder.glob(pattern)]
    objects.sort(key=lambda path: path.stat().st_mtime)
    return {path.parents[3].name.removeprefix("sanderling_isa_").removesuffix(".dir"): path for path in objects}


def functions(listing: str) -> Iterator[tuple[str, str]]:
    """The functions of an objdump listing: name and instructions, one a line."""
    parts = FUNCTION.split(listing)
    return zip(parts[1::2], parts[2::2], strict=True)


def spills(listing: str, machine: int) -> dict[str, int]:
    """Stack references by vector registers in each function that is part of a matrix product."""
    return {
        name: sum(1 for line in code.splitlines() if VECTOR_ON_STACK[machine].search(line))
        for name, code in functions(listing)
        if "gemm" in name
    }


@functools.cache
def first_unit(instruction: str) -> str:
    """The first of X86_UNITS that may have an instruction, as objdump prints it."""
    return next((unit for unit, pattern in FIRST_UNIT.items() if pattern.search(instruction)), "scalar")


def foreign(listing: str, unit: str) -> set[str]:
    """The instructions of a listing that only units after this one may have, each with its function."""
    allowed = X86_UNITS[: X86_UNITS.index(unit) + 1]
    if unit.startswith("avx512"):
        allowed.remove("avx_vnni")  # the VEX form of an instruction that AVX-512 encodes otherwise
    return {
        f"{name}: {instruction}"
        for name, code in functions(listing)
        if GUARDED not in name
        for instruction in set(INSTRUCTION.findall(code))
        if first_unit(instruction) not in allowed
    }


@functools.cache
def cross_compile() -> None:
    """Compiles the Arm kernels in build/aarch64, where nothing is done if they are up to date."""
    targets = [f"sanderling_isa_{isa}" for isa, processor in PROCESSORS.items() if processor == "aarch64"]
    for command in (
        ["cmake", "--preset", "aarch64"],
        ["cmake", "--build", "build/aarch64", "--target", *targets],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def require_object(isa: str) -> Path:
    """The object of one instruction set; skips the test where it was not built and cannot be."""
    given = "SANDERLING_BUILD_DIR" in os.environ
    if PROCESSORS[isa] == "aarch64" and os.uname().machine != "aarch64" and not given:
        missing = [name for name in ("cmake", "ninja", CROSS_COMPILER) if shutil.which(name) is None]
        if missing:
            pytest.skip(f"{isa} needs {', '.join(missing)} (Debian: g++-aarch64-linux-gnu)")
        cross_compile()
    path = kernel_objects().get(isa)
    if path is None:
        pytest.skip(f"no Release build with the {isa} kernels: set SANDERLING_BUILD_DIR, or build into build/NAME")
    return path


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "scalar"])  # scalar has no vectors to spill
def test_sums_of_the_matrix_products_stay_in_registers(isa: str) -> None:
    path = require_object(isa)
    counts = spills(disassembled([path]), machine_of(path))
    assert any("gemm_u8s8s32" in name for name in counts), f"{path} has no gemm_u8s8s32"
    over = {name: count for name, count in counts.items() if count > BUDGET}
    assert not over, f"{isa}: stack references by vector registers, over {BUDGET}: {over}"


def disassembled(objects: list[Path]) -> str:
    """What objdump says of objects of one machine."""
    command = [tool("objdump", machine_of(objects[0])), "-d", "--no-show-raw-insn", *map(str, objects)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa in X86_UNITS])
def test_a_unit_has_no_instruction_that_its_cpus_lack(isa: str) -> None:
    listing = disassembled([require_object(isa)])
    found = sorted(foreign(listing, isa))
    assert not found, f"{isa}: {len(found)} instructions of later units, such as {found[:5]}"
    if isa != "scalar":
        assert any(first_unit(instruction) == isa for instruction in INSTRUCTION.findall(listing))


def test_the_engine_outside_the_units_runs_on_every_x86_64_cpu() -> None:
    path = require_object("scalar")
    objects = sorted((path.parents[4] / "sanderling_core.dir").rglob("*.o"))
    assert objects, f"no objects of the engine beside {path}"
    if machine_of(path) != X86_64:
        pytest.skip("the instructions of this processor's baseline are not told apart")
    found = sorted(foreign(disassembled(objects), "scalar"))
    assert not found, f"{len(found)} instructions beyond SSE2, such as {found[:5]}"


@pytest.mark.parametrize("isa", ISAS)
def test_an_isa_unit_defines_nothing_but_its_table(isa: str) -> None:
    """A shared inline function would let the linker keep a copy that the host cannot run."""
    path = require_object(isa)
    command = [tool("nm", machine_of(path)), "-C", "--defined-only", "--extern-only", "-f", "posix", str(path)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split(" ")[0] for line in listing.splitlines()] == [f"sanderling::{isa}::table"]


@pytest.mark.parametrize(
    ("line", "machine", "spilled"),
    [
        ("  4c01:\tvmovdqa %ymm7,-0x58(%rsp)", X86_64, True),
        ("  4c01:\tvpaddd 0x68(%rsp),%ymm4,%ymm15", X86_64, True),
        ("  4c01:\tvmovaps %zmm1,-0x70(%rbp)", X86_64, True),
        ("  4c01:\tpaddd  0x68(%rsp),%xmm4", X86_64, True),
        ("  4c01:\tmovaps %xmm4,0x68(%rsp)", X86_64, True),
        ("  4c01:\tmovss  0x68(%rsp),%xmm4", X86_64, False),
        ("  4c01:\tmovups 0x68(%rbp),%xmm4", X86_64, False),
        ("  4c01:\tvpaddd (%rcx),%ymm4,%ymm15", X86_64, False),
        ("  4c01:\tmov    0x10(%rsp),%rax", X86_64, False),
        ("  3224:\tstr\tq10, [sp, #64]", AARCH64, True),
        ("  3274:\tldp\tq10, q1, [sp, #64]", AARCH64, True),
        ("  3140:\tstp\td8, d9, [sp, #-96]!", AARCH64, False),
        ("  5388:\tldp\tq3, q2, [x4]", AARCH64, False),
    ],
)
def test_the_gate_sees_what_it_must(line: str, machine: int, spilled: bool) -> None:
    """Instructions as objdump prints them."""
    listing = f"0000000000004c00 <void gemm_tile<1, 8>(long)>:\n{line}\n"
    assert spills(listing, machine) == {"void gemm_tile<1, 8>(long)": int(spilled)}


@pytest.mark.parametrize(
    ("instruction", "unit"),
    [
        ("mulps  %xmm1,%xmm2", "scalar"),
        ("pmovsxbw (%rcx),%xmm2", "sse41"),
        ("pshufb %xmm1,%xmm2", "sse41"),
        ("popcnt %eax,%eax", "avx2"),
        ("vpmaddwd %ymm1,%ymm2,%ymm3", "avx2"),
        ("vfmadd231ps %ymm1,%ymm2,%ymm3", "avx2"),
        ("{vex} vpdpbusd %ymm1,%ymm2,%ymm3", "avx_vnni"),
        ("vpdpbusd %ymm1,%ymm2,%ymm3", "avx512_vnni"),
        ("vpaddd %ymm1,%ymm2,%ymm17", "avx512_vnni"),
        ("vmovdqu8 (%rsi),%xmm0{%k1}{z}", "avx512_vnni"),
        ("vdpbf16ps %zmm1,%zmm2,%zmm3", "avx512_bf16"),
        ("vcvtneps2bf16 %zmm1,%ymm2", "avx512_bf16"),
        ("vpermb %zmm1,%zmm2,%zmm3", BEYOND_ALL),
        ("shlx   %rax,%rbx,%rcx", BEYOND_ALL),
    ],
)
def test_each_instruction_has_its_first_unit(instruction: str, unit: str) -> None:
    """Instructions as objdump prints them."""
    assert first_unit(instruction) == unit
    before = X86_UNITS[X86_UNITS.index(unit) - 1]
    assert unit == "scalar" or foreign(f"0000000000004c00 <gemm(long)>:\n  bf16:\t{instruction}\n", before)
