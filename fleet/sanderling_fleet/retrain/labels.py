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
            raise InputError(f"[label] {label!r} is no label of this model, it has {', '.join(names)}")
        return names.index(label)
    if not (label.isascii() and label.isdigit()) or (classes is not None and int(label) >= classes):
        raise InputError(f"[label] {label!r} is no class number from 0 to {'...' if classes is None else classes - 1}")
    return int(label)


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
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = next(lines, None)
    if header != _HEADER:
        raise InputError(f"[labels] the first line is {header}, expected {','.join(_HEADER)}")
    labels: dict[Key, str] = {}
    for row in lines:
        if not row:
            continue
        if len(row) != 3 or not (row[1].isascii() and row[1].isdigit()):
            raise InputError(f"[labels] line {lines.line_num} is {row}, expected {','.join(_HEADER)}")
        key, label = (row[0], int(row[1])), row[2].strip()
        if label and labels.setdefault(key, label) != label:
            raise InputError(f"[labels] line {lines.line_num}: {key} has the labels {labels[key]!r} and {label!r}")
    return labels
