"""The release folder and the names that its delegations cover."""

import os
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from tuf.api.metadata import DelegatedRole, Root

from sanderling.errors import InputError, IntegrityError
from sanderling.trust import version_target
from sanderling.versions import split_version
from sanderling_fleet.trust import tuf_repository
from sanderling_fleet.trust.keys import private_folder, write_private
from sanderling_fleet.trust.release import ReleaseFolder

NOW = 1.8e9


@pytest.fixture
def release(tmp_path):
    keys = [Ed25519PrivateKey.generate().public_key() for _ in range(3)]
    return ReleaseFolder.create(tmp_path / "release", snapshot=keys[0], timestamp=keys[1], director=keys[2], now=NOW)


def test_a_root_that_was_signed_and_perhaps_sent_is_sent_again_and_not_signed_twice(release):
    """Killed between the server's taking it and its being kept, the next try must not make another second root."""
    first = release.renew_root(NOW)
    again = ReleaseFolder(release.folder)
    assert again.renew_root(NOW + 60) == first
    again.keep_root(first)
    assert again.root.signed.version == 2
    third = ReleaseFolder(release.folder).renew_root(NOW + 120)
    assert tuf_repository.read(Root, third, "root").signed.version == 3


def test_what_lies_in_the_place_of_a_signed_root_must_be_one(release):
    release.renew_root(NOW)
    (release.folder / "root.next.json").write_bytes(b"{}")
    with pytest.raises(IntegrityError, match=r"\[root\]"):
        release.renew_root(NOW)


def test_folders_and_keys_are_private_from_the_first_moment(tmp_path):
    made, modes = os.umask(0), []
    try:
        folder = tmp_path / "a" / "b"
        private_folder(folder)
        modes.append(stat.S_IMODE(folder.stat().st_mode))
        write_private(folder / "key", b"secret")
        modes.append(stat.S_IMODE((folder / "key").stat().st_mode))
    finally:
        os.umask(made)
    assert modes == [0o700, 0o600]
    assert [path.name for path in folder.iterdir()] == ["key"]
    with pytest.raises(InputError, match="keys are not overwritten"):
        write_private(folder / "key", b"other")
    assert (folder / "key").read_bytes() == b"secret"


NAMES = st.from_regex(r"[a-z0-9_-]{1,12}-[0-9a-z.-]{1,6}", fullmatch=True)


def valid(text):
    try:
        return split_version(text)
    except IntegrityError:
        return None


@example("digits-2x-1", "digits")
@example("digits-2-1", "digits")
@example("resnet-50-1", "resnet-50")
@given(NAMES, st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True))
def test_a_delegation_covers_versions_of_its_own_model_only(text, model):
    """A client matches paths by pattern: whatever else matches could be signed by a publisher of another model."""
    found = valid(text)
    for name in {model, text.partition("-")[0], text.rpartition("-")[0]} - {""}:
        if valid(f"{name}-1") is None:
            continue
        role = DelegatedRole("auto", [], 1, terminating=True, paths=tuf_repository.delegated_paths(name))
        covered = role.is_delegated_path(version_target(text))
        if found is not None:
            assert covered == (found[0] == name), (text, name)
