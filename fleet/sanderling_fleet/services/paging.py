"""Lists in pages. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from sanderling.errors import InputError

T = TypeVar("T")
_DEFAULT, _MOST = 100, 1000


class Paged(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


def page(items: Iterable[T], key: Callable[[T], tuple[float | str, ...]], request: Paged) -> tuple[list[T], str]:
    """The items of one page, and the token of the next; empty at the end.

    Pages follow the order of keys, so that what comes or goes between two calls moves nothing else.

    Args:
        items: All, in any order.
        key: Names an item among them.
        request: Which page.

    Raises:
        InputError: The token is none of this list's.
    """
    after = _read(request.page_token) if request.page_token else None
    try:
        rest = [item for item in sorted(items, key=key) if after is None or key(item) > after]
    except TypeError as error:
        raise _foreign(request.page_token) from error
    found = rest[: page_size(request.page_size)]
    return found, _token(key(found[-1])) if len(rest) > len(found) else ""


def page_size(wanted: int) -> int:
    """How many items a page has; 0 asks for the default."""
    return min(wanted or _DEFAULT, _MOST)


def _token(key: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _read(token: str) -> tuple[Any, ...]:
    try:
        key = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error) as error:
        raise _foreign(token) from error
    if not isinstance(key, list):
        raise _foreign(token)
    return tuple(key)


def _foreign(token: str) -> InputError:
    return InputError(f"[page] the token {token[:40]!r} is none of this list's. Take next_page_token of a page")
