"""The protocols: their Python is what proto/ says, and what was released stays readable."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
RELEASED = PROTO / "released.binpb"
TOOLS = Path(sys.executable).parent


def buf(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TOOLS / "buf", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def breaking(folder: Path) -> subprocess.CompletedProcess[str]:
    return buf("breaking", "--against", str(RELEASED), folder=folder)


def test_the_committed_python_is_generated_from_the_protocols(tmp_path: Path):
    subprocess.run([PROTO / "generate.sh", TOOLS, tmp_path], check=True)
    wanted = {p.relative_to(tmp_path): p.read_text() for p in (tmp_path / "sanderling/api").rglob("*.py*")}
    python = ROOT / "python"
    there = {
        p.relative_to(python): p.read_text()
        for p in (python / "sanderling/api").rglob("*.py*")
        if p.suffix in {".py", ".pyi"}
    }
    assert wanted == there, "run `make proto`"


def test_nothing_released_is_broken():
    done = breaking(PROTO)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("  string slot = 2;\n", "", 'field "2" with name "slot"'),
        ("uint32 attempt = 2;", "uint64 attempt = 2;", 'changed type from "uint32" to "uint64"'),
        ("ASSIGNMENT_STATE_PROBATION = 8;", "ASSIGNMENT_STATE_PROBATION = 18;", 'enum value "8"'),
    ],
)
def test_a_breaking_change_is_found(tmp_path: Path, old: str, new: str, why: str):
    copy = tmp_path / "proto"
    shutil.copytree(PROTO, copy)
    changed = copy / "sanderling/api/rollout/v1/assignment.proto"
    text = changed.read_text()
    assert old in text
    changed.write_text(text.replace(old, new, 1))
    done = breaking(copy)
    assert done.returncode == 100
    assert why in done.stdout


def test_every_field_of_the_committed_image_is_guarded(tmp_path: Path):
    """All fields that were released are taken away at once, and each one is named."""
    image = descriptor_pb2.FileDescriptorSet.FromString(RELEASED.read_bytes())
    messages = [m for file in image.file if file.package.startswith("sanderling.") for m in file.message_type]
    gone = {(message.name, field.number) for message in messages for field in message.field}
    assert len(gone) > 300
    for message in messages:
        del message.field[:], message.oneof_decl[:]
    emptied = tmp_path / "emptied.binpb"
    emptied.write_bytes(image.SerializeToString())
    done = buf("breaking", str(emptied), "--config", "buf.yaml", "--against", str(RELEASED), folder=PROTO)
    found = re.findall(r'field "(\d+)" with name "\w+" on message "(\w+)" was deleted', done.stdout)
    assert {(message, int(number)) for number, message in found} == gone
