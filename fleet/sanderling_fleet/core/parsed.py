"""What was last parsed of documents or written to them, so that a state of thousands of devices is parsed once."""

from __future__ import annotations

import secrets
from typing import Generic, TypeVar

from sanderling_fleet.store import Document

T = TypeVar("T")
REVISION = "revision"
"""Key in a document's body."""


def new_revision() -> str:
    """Drawn for each write.

    What was written in a transaction that did not happen, or in another database, has another one: it is not taken for
    what a document holds.
    """
    return secrets.token_hex(8)


class Parsed(Generic[T]):
    """The last states, by their documents' ids. States never change.

    Args:
        most: States that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._states: dict[str, tuple[str, T]] = {}

    def of(self, document: Document) -> T | None:
        """The document's state; None if it has to be parsed."""
        revision, state = self._states.get(document.document_id, ("", None))
        return state if revision == document.body[REVISION] else None

    def keep(self, document: Document, state: T) -> T:
        """Keeps what the document holds, and returns it."""
        self._states.pop(document.document_id, None)
        self._states[document.document_id] = (document.body[REVISION], state)
        if len(self._states) > self._most:
            del self._states[next(iter(self._states))]
        return state
