"""Groups of devices by label, in the grammar of Kubernetes' label selectors.

    selector     = [ requirement { "," requirement } ]        empty matches every device
    requirement  = key | "!" key                              has the label, has it not
                 | key ( "=" | "==" | "!=" ) value            "!=" also holds where the label is absent
                 | key ( "in" | "notin" ) "(" value { "," value } ")"

Keys and values are letters, digits, "-", "_", "." and (keys only) "/", at most 253 and 63 of them; a value may be empty
after "=" and "!=". Every device has the label `device_id`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from sanderling.errors import InputError

DEVICE_ID = "device_id"
"""The label that every device has: its own name."""

_MOST_CHARACTERS = 4096
_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z0-9][A-Za-z0-9._/-]*)|(?P<sign>==|!=|[=!,()]))")
_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?")
_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class Operator(StrEnum):
    """How a requirement compares."""

    EXISTS = "exists"
    ABSENT = "absent"
    IN = "in"
    NOT_IN = "notin"


@dataclass(frozen=True)
class Requirement:
    """One condition on one label.

    Attributes:
        key: The label.
        operator: How it compares.
        values: Sorted; empty for EXISTS and ABSENT.
    """

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a device with these labels meets it."""
        if self.operator is Operator.EXISTS:
            return self.key in labels
        if self.operator is Operator.ABSENT:
            return self.key not in labels
        return (labels.get(self.key) in self.values) is (self.operator is Operator.IN)

    def __str__(self) -> str:
        if self.operator is Operator.EXISTS:
            return self.key
        if self.operator is Operator.ABSENT:
            return f"!{self.key}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator is Operator.IN else '!='}{self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(self.values)})"


@dataclass(frozen=True)
class Selector:
    """A conjunction of requirements; `str` of it parses to an equal one."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a device with these labels belongs to the group."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


def parse(text: str) -> Selector:
    """Reads a selector.

    Raises:
        InputError: It does not follow the grammar; the message points at the column, counted from 1.
    """
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"[selector] {len(text)} characters, at most {_MOST_CHARACTERS}. Label the devices as a group")
    reader = _Reader(text)
    if reader.at_end:
        return Selector()
    requirements = [_requirement(reader)]
    while not reader.at_end:
        reader.sign(",")
        requirements.append(_requirement(reader))
    return Selector(tuple(requirements))


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._position = 0

    @property
    def at_end(self) -> bool:
        return self._position >= len(self._text)

    def peek(self) -> tuple[str, str]:
        """Kind and text of the next token; ("end", "") after the last."""
        if self.at_end:
            return "end", ""
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            self.fail("a label, a value or one of = == != ! , ( )")
        kind = str(match.lastgroup)
        return kind, match.group(kind)

    def take(self) -> str:
        match = _TOKEN.match(self._text, self._position)
        assert match is not None, self._text  # peek has seen it
        self._position = match.end()
        return match.group(str(match.lastgroup))

    def sign(self, *wanted: str) -> str:
        kind, token = self.peek()
        if kind != "sign" or token not in wanted:
            self.fail(" or ".join(map(repr, wanted)))
        return self.take()

    def word(self, pattern: re.Pattern[str], what: str) -> str:
        kind, token = self.peek()
        if kind != "word" or not pattern.fullmatch(token):
            self.fail(what)
        return self.take()

    def fail(self, wanted: str) -> NoReturn:
        rest = self._text[self._position :]
        column = self._position + len(rest) - len(rest.lstrip()) + 1
        found = repr(rest.lstrip()[:20]) if rest.strip() else "the end"
        raise InputError(
            f"[selector] column {column}: found {found}, wanted {wanted}.\n  {self._text}\n  {'^':>{column}}"
        )


def _requirement(reader: _Reader) -> Requirement:
    if reader.peek() == ("sign", "!"):
        reader.take()
        return Requirement(reader.word(_KEY, "a label"), Operator.ABSENT)
    key = reader.word(_KEY, "a label")
    kind, token = reader.peek()
    if (kind, token) in (("end", ""), ("sign", ",")):
        return Requirement(key, Operator.EXISTS)
    if kind == "word":
        if token not in ("in", "notin"):
            reader.fail("'=', '!=', 'in', 'notin' or ','")
        return Requirement(key, Operator(reader.take()), _values(reader))
    operator = Operator.NOT_IN if reader.sign("=", "==", "!=") == "!=" else Operator.IN
    if reader.peek() in (("end", ""), ("sign", ",")):
        return Requirement(key, operator, ("",))
    return Requirement(key, operator, (reader.word(_VALUE, "a value of at most 63 characters"),))


def _values(reader: _Reader) -> tuple[str, ...]:
    reader.sign("(")
    values = {reader.word(_VALUE, "a value of at most 63 characters")}
    while reader.sign(",", ")") == ",":
        values.add(reader.word(_VALUE, "a value of at most 63 characters"))
    return tuple(sorted(values))
