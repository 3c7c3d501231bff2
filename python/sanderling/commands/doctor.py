"""`sanderling doctor`: what this machine can run, and what is missing."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

from sanderling.commands.output import human_bytes, output_option, print_json

EXIT_PROBLEM = 3
# Any clock before this release is wrong; certificates and signed metadata would be refused because of it.
RELEASED = datetime.date(2026, 11, 24)
MIN_FREE_BYTES = 256 << 20

# extra -> (module, what it is for)
EXTRAS = {
    "quantize": ("onnx", "sanderling.quantize and `sanderling model quantize`"),
    "onnxruntime": ("onnxruntime", "the onnxruntime backend and comparisons with it"),
    "litert": ("ai_edge_litert", "the litert backend, which runs .tflite files"),
    "train": ("onnxscript", "sanderling.load of a torch module"),
    "demo": ("sklearn", "`sanderling demo`"),
    "agent": ("tuf", "`sanderling agent`"),
    "fleet": ("sqlalchemy", "`sanderling fleet`"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        topic: What was looked at.
        state: "ok", "note" (worth knowing) or "problem".
        found: What there is.
        hint: What to do about it; empty if nothing.
    """

    topic: str
    state: str
    found: str
    hint: str = ""


@click.command()
@output_option
def doctor(output: str) -> None:
    """Say what this machine can run, what is missing, and what to do about it.

    Exits with 3 if something is wrong, 0 otherwise; a missing extra or GPU is only noted.
    """
    findings = examine()
    problems = sum(f.state == "problem" for f in findings)
    if output == "json":
        print_json({"findings": [vars(f) for f in findings], "problems": problems})
    else:
        width = max(len(f.topic) for f in findings)
        for f in findings:
            mark = {"ok": click.style("ok     ", "green"), "note": "note   ", "problem": click.style("PROBLEM", "red")}
            click.echo(f"{mark[f.state]}  {f.topic.ljust(width)}  {f.found}")
            if f.hint:
                click.echo(f"{' ' * (11 + width)}hint: {f.hint}")
        click.echo(f"{problems} problem{'s' * (problems != 1)}")
    if problems:
        sys.exit(EXIT_PROBLEM)


def examine() -> list[Finding]:
    """All findings, in the order in which they are shown."""
    return [_package(), _cpu(), _isa(), _gpu(), *_extras(), _clock(), _memory(), _disk()]


def _package() -> Finding:
    try:
        return Finding("sanderling", "ok", f"{version('sanderling')}, Python {platform.python_version()}")
    except PackageNotFoundError:
        return Finding("sanderling", "problem", "its metadata is not installed", "pip install sanderling")


def _cpu() -> Finding:
    name = platform.processor() or platform.machine()
    flags: set[str] = set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip() in {"flags", "Features"}:
                flags = set(value.split())
    except OSError:
        pass  # not Linux: the name above has to do
    known = ["sse4_1", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "asimd", "asimddp", "i8mm"]
    has = ", ".join(flag for flag in known if flag in flags) or "no vector features known"
    return Finding("cpu", "ok", f"{name}, {os.cpu_count()} cores; {has}")


def _isa() -> Finding:
    from sanderling import _core
    from sanderling.errors import UnsupportedError

    runnable = ", ".join(_core.runnable_isas())
    try:
        chosen = _core.default_isa()
    except UnsupportedError as error:
        return Finding("isa", "problem", str(error), "unset SANDERLING_ISA, or set it to one of: " + runnable)
    forced = " (SANDERLING_ISA)" if os.environ.get("SANDERLING_ISA") else ""
    if chosen == "scalar":
        return Finding("isa", "note", f"scalar{forced}; runnable: {runnable}", "expect it to be slow")
    products = ", ".join(_core.float_products(chosen))
    return Finding("isa", "ok", f"{chosen}{forced}; runnable: {runnable}; float products: {products}")


def _gpu() -> Finding:
    driver = Path("/proc/driver/nvidia/version")
    if driver.exists():
        return Finding("gpu", "note", "an NVIDIA driver is loaded, but this release runs on the CPU only")
    if Path("/etc/nv_tegra_release").exists():
        return Finding("gpu", "note", "a Jetson, but this release runs on the CPU only")
    return Finding("gpu", "note", "none: no NVIDIA driver is loaded; this release runs on the CPU only")


def _extras() -> list[Finding]:
    findings = []
    for extra, (module, purpose) in EXTRAS.items():
        if find_spec(module) is None:
            hint = f"pip install 'sanderling[{extra}]'"
            findings.append(Finding(f"extra {extra}", "note", f"not installed; needed for {purpose}", hint))
        else:
            findings.append(Finding(f"extra {extra}", "ok", f"{module} is installed"))
    return findings


def _clock() -> Finding:
    now = datetime.datetime.now(datetime.UTC)
    text = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    if now.date() < RELEASED:
        return Finding("clock", "problem", f"{text} is before this release", "set the clock: timedatectl set-ntp true")
    return Finding("clock", "ok", text)


def _memory() -> Finding:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return Finding("memory", "note", "unknown")
    if available < MIN_FREE_BYTES:
        return Finding("memory", "problem", f"{human_bytes(available)} available", "stop other programs or add swap")
    return Finding("memory", "ok", f"{human_bytes(available)} available")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    if free < MIN_FREE_BYTES:
        return Finding("disk", "problem", f"{human_bytes(free)} free here", "delete something")
    return Finding("disk", "ok", f"{human_bytes(free)} free here")
