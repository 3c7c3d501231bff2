"""Join tokens and signatures."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sanderling import trust
from sanderling.errors import InputError, IntegrityError

TOKEN = trust.JoinToken("127.0.0.1:7443", bytes(range(32)), bytes(range(32, 64)), "c2VjcmV0")


def test_a_token_comes_back_equal():
    assert trust.JoinToken.from_text(f"  {TOKEN.to_text()}\n") == TOKEN


@pytest.mark.parametrize("cut", [1, 10, 40, 80])
def test_a_cut_token_is_refused(cut: int):
    with pytest.raises(InputError, match="join token"):
        trust.JoinToken.from_text(TOKEN.to_text()[:-cut])


@pytest.mark.parametrize("text", ["", "token", "sanderling1.", "sanderling1.!!!", "sanderling1.e30"])
def test_what_is_no_token(text: str):
    with pytest.raises(InputError, match="cannot be read"):
        trust.JoinToken.from_text(text)


def test_signatures():
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    keys = trust.director_keys(trust.director_document(key.public_key()))
    signature = trust.sign(key, trust.DESIRED_STATE_CONTEXT, b"state")
    signer = trust.key_id(key.public_key())
    trust.verify(keys, signer, signature, trust.DESIRED_STATE_CONTEXT, b"state")
    for wrong in (
        (keys, signer, signature, trust.DOWNGRADE_CONTEXT, b"state"),
        (keys, signer, signature, trust.DESIRED_STATE_CONTEXT, b"stat"),
        (keys, signer, signature[:-1], trust.DESIRED_STATE_CONTEXT, b"state"),
        (keys, trust.key_id(other.public_key()), signature, trust.DESIRED_STATE_CONTEXT, b"state"),
    ):
        with pytest.raises(IntegrityError, match="signature"):
            trust.verify(*wrong)


@pytest.mark.parametrize("document", [b"", b"{}", b'{"keys": 1}', b'{"keys": {"00": "00"}}'])
def test_what_is_no_list_of_keys(document: bytes):
    with pytest.raises(IntegrityError, match=r"keys/director\.json"):
        trust.director_keys(document)
