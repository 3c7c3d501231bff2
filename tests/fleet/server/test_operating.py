"""docs/operating.md: the first fleet by hand, command by command as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sanderling_devices.demo import digits
from sanderling_devices.demo.train_digits import MODEL_PATH

PAGE = Path(__file__).parents[3] / "docs" / "operating.md"
WAIT_S = 60.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Hand:
    """Types the commands: a trailing & is left running, and stopped by its pid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        binaries = folder / "bin"
        binaries.mkdir()
        (binaries / "sanderling").write_text(f'#!/bin/sh\nexec {sys.executable} -m sanderling.cli "$@"\n')
        (binaries / "sanderling").chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SANDERLING")}
        self.environment = {**kept, "PATH": f"{binaries}:{kept['PATH']}", "HOME": str(folder)}
        self.running: list[subprocess.Popen[str]] = []

    def type(self, line: str) -> str:
        if line.startswith("cd "):
            self.folder = self.folder / line.removeprefix("cd ")
            return ""
        if line.endswith("&"):
            log = (self.folder / f"process-{len(self.running)}.log").open("w")
            arguments = ["sh", "-c", f"exec {line.rstrip('& ')}"]
            self.running.append(
                subprocess.Popen(arguments, cwd=self.folder, env=self.environment, stdout=log, stderr=log, text=True)
            )
            log.close()
            return ""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def until(self, line: str, words: str) -> None:
        """Types it again and again until it prints the words."""
        end = time.monotonic() + WAIT_S
        while True:
            done = subprocess.run(
                ["bash", "-c", line], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
            )
            if words in done.stdout:
                return
            assert time.monotonic() < end, f"{line}: {done.stdout} {done.stderr}"
            time.sleep(0.1)

    def stop(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGINT)  # an agent ends its router and runners too
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def hand(tmp_path: Path):
    shutil.copy(MODEL_PATH, tmp_path / "digits.onnx")
    np.save(tmp_path / "rows.npy", digits.split(0).reference.frames)
    typing = Hand(tmp_path)
    yield typing
    typing.stop()


def test_a_first_fleet_by_hand(hand: Hand, tmp_path: Path):
    commands, ask = (block.strip().splitlines() for block in blocks("sh"))
    assert len(commands) == 10
    *ports, router = free_ports(4)
    rollout = ""
    for command in commands:
        line = command.replace("ROLLOUT", rollout)
        if "agent run" in line:
            line = line.replace("--state", f"--port {router} --state")
        if "--watch" in line:
            hand.until(ask[0].replace("8000", str(router)), "digits-1.0")
            python = blocks("python")[0].replace("8000", str(router))
            (tmp_path / "ask.py").write_text(python)
            for _ in range(20):
                answer = hand.type(f"{sys.executable} {tmp_path / 'ask.py'}")
                assert answer.startswith("digits-1.0 [")
        printed = hand.type(line)
        if "fleet init" in line:
            for name in ("server/fleet.toml", "operator/sanderling.toml"):
                path = tmp_path / "my-fleet" / name
                text = path.read_text()
                for old, new in zip((7443, 7444, 7445), ports, strict=True):
                    text = text.replace(str(old), str(new))
                path.write_text(text)
        if "fleet run" in line:
            hand.until("cat process-0.log", "operator")
        if "rollout create" in line:
            rollout = printed.strip()
    assert "succeeded: all 1 stages passed" in printed
    assert "main:digits-1.0" in hand.type("sanderling device ls")


def test_the_page_of_refusals_names_tests_that_there_are():
    page = (PAGE.parent / "security.md").read_text()
    tests = PAGE.parents[1] / "tests"
    named = re.findall(r"`((?:[a-z]+/)*test_\w+\.py)(?:::(test_\w+))?`", page)
    assert len(named) > 10
    for name, function in named:
        assert [path for path in tests.rglob("test_*.py") if path.match(name) and f"def {function}" in path.read_text()]
    refusals = re.findall(r"R `(test_\w+)`", page) + re.findall(r", `(test_\w+)` \|", page)
    refused = (tests / "loop" / "test_refusals.py").read_text()
    assert len(refusals) > 8
    assert [name for name in refusals if f"def {name}(" not in refused] == []
