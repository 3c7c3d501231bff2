"""Who says what samples show: a person, by a file of samples and a file of labels, or a program as a `Labeller`.

Labels are text, as in the manifest's `labels`; a version without names has class numbers. What the model itself said
of a sample is not in the file: it must not become its own teacher.
"""

from __future__ import annotations

import csv
import importlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sanderling.errors import InputError
from sanderling_fleet.retrain.rows import SampleRows

_HEADER = ["device_id", "sample_id", "label"]
_MOST_SAMPLE_ID = (1 << 64) - 1
_MOST_DIGITS = 20
"""Of a number that is any sample's or class's; longer ones are not even read."""
Key = tuple[str, int]


@dataclass(frozen=True)
class Labelled:
    """What a labeller says.

    Attributes:
        labels: By (device id, sample id); rows that it leaves out stay without a label.
        cost: In whatever unit its budget has.
    """

    labels: Mapping[Key, str]
    cost: float


class Labeller(Protocol):
    """Labels samples: a crowd's service, a larger model, a test rig that knows the truth."""

    def label(self, samples: SampleRows) -> Labelled:
        """Labels as many of these as it can."""
        ...


def load_labeller(name: str) -> Labeller:
    """Finds a labeller by "module:object"; the object has a method `label`.

    Raises:
        InputError: There is none.
    """
    found = load_object(name)
    if not callable(getattr(found, "label", None)):
        raise InputError(f"[label] {name} is {type(found).__name__} without a method label(samples)")
    labeller: Labeller = found
    return labeller


def load_object(name: str) -> Any:
    """Imports "module:object".

    Raises:
        InputError: There is no such module or object.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise InputError(f"[load] {name!r} is no module:object, such as my_package.train:main")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"[load] {name}: {error}. Is its package installed here?") from error


def class_number(label: str, names: Sequence[str], classes: int | None) -> int:
    """The class that a label names.

    Args:
        label: Text.
        names: The manifest's labels, or empty.
        classes: How many the model has, if known.

    Raises:
        InputError: It names none.
    """
    if names:
        if label not in names:
            raise InputError(f"[label] {label[:40]!r} is no label of this model, it has {', '.join(names)}")
        return names.index(label)
    number = _natural(label)
    if number is None or (classes is not None and number >= classes):
        raise InputError(
            f"[label] {label[:40]!r} is no class number from 0 to {'...' if classes is None else classes - 1}"
        )
    return number


def check_cost(cost: float) -> None:
    """Checks what labels are said to have cost.

    Raises:
        InputError: It is negative or no number.
    """
    if not (math.isfinite(cost) and cost >= 0.0):
        raise InputError(f"[label] cost is {cost}, expected a number of at least 0")


def write_labels(labels: Mapping[Key, str]) -> str:
    """Labels as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows([device, sample, label] for (device, sample), label in sorted(labels.items()))
    return stream.getvalue()


def read_labels(text: str) -> dict[Key, str]:
    """Reads what `write_labels` wrote, or a person with a spreadsheet; rows with an empty label are passed over.

    Raises:
        InputError: The header or a row is wrong, or a sample has two labels.
    """
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        return _read_labels(lines)
    except csv.Error as error:
        raise InputError(
            f"[labels] line {max(lines.line_num, 1)} cannot be read: {error}. Save it as CSV with commas"
        ) from error


def _read_labels(lines: Any) -> dict[Key, str]:
    header = next(lines, None)
    if header != _HEADER:
        raise InputError(f"[labels] the first line is {header}, expected {','.join(_HEADER)}")
    labels: dict[Key, str] = {}
    for row in lines:
        if not row:
            continue
        number = _natural(row[1]) if len(row) == 3 else None
        if number is None or number > _MOST_SAMPLE_ID:
            shown = [cell[:40] for cell in row[:4]]
            raise InputError(f"[labels] line {lines.line_num} is {shown}, expected {','.join(_HEADER)}")
        key, label = (row[0], number), row[2].strip()
        if label and labels.setdefault(key, label) != label:
            raise InputError(f"[labels] line {lines.line_num}: {key} has the labels {labels[key]!r} and {label!r}")
    return labels


def _natural(text: str) -> int | None:
    """A number in plain digits; None if it is none, or has more digits than any that counts here."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
