"""People and programs that run the fleet: bearer tokens with a name and a role."""

from __future__ import annotations

import base64
import hashlib
from enum import StrEnum

from sanderling.errors import AuthError, InputError
from sanderling_fleet.core.context import Core
from sanderling_fleet.store import OperatorToken

_PREFIX = "sdlop_"


class Role(StrEnum):
    """What a token may do: a viewer looks, an operator changes devices, a publisher uploads versions, an admin both."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    PUBLISHER = "publisher"
    ADMIN = "admin"


async def create_token(core: Core, name: str, role: Role, life_seconds: float = 0.0) -> str:
    """Makes a token; it is shown once.

    Args:
        core: The fleet.
        name: What the audit log calls its holder.
        role: What it may do.
        life_seconds: 0 for no end.

    Raises:
        InputError: The name is empty or taken.
    """
    text = _PREFIX + base64.urlsafe_b64encode(core.entropy(32)).decode().rstrip("=")
    now = core.clock.now()
    async with core.store.transaction() as tx:
        if not name or await tx.find(OperatorToken, {"name": name}):
            raise InputError(f"[operator] the name {name!r} is empty or taken: the audit log tells holders apart by it")
        expires = now + life_seconds if life_seconds else 0.0
        await tx.put(OperatorToken(_digest(text), name, role.value, now, expires))
    return text


async def delete_token(core: Core, name: str) -> None:
    """Takes a token away.

    Raises:
        InputError: There is none of that name.
    """
    async with core.store.transaction() as tx:
        found = await tx.find(OperatorToken, {"name": name})
        if not found:
            raise InputError(f"[operator] there is no token named {name!r}")
        for token in found:
            await tx.delete(OperatorToken, token.token_digest)


async def authenticate(core: Core, text: str) -> OperatorToken:
    """Finds whose token it is.

    Raises:
        AuthError: Nobody's, or it has expired.
    """
    async with core.store.transaction() as tx:
        token = await tx.get(OperatorToken, _digest(text))
    if token is None:
        raise AuthError("[operator] the token is not known here. Check SANDERLING_FLEET_TOKEN, or ask an admin for one")
    if token.expires_at and token.expires_at <= core.clock.now():
        raise AuthError(f"[operator] the token of {token.name!r} has expired. Ask an admin for another")
    return token


def _digest(text: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(text.encode()).hexdigest()
