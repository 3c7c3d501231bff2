"""A bar chart as SVG: text that every browser draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_ROW, _LEFT, _WIDTH, _RIGHT, _TOP = 18, 330, 640, 90, 64
_COLOURS = ("#2f6f9f", "#c06030", "#4f8f4f", "#8060a0", "#b0902f", "#5f5f5f", "#a04060", "#3f9090")


@dataclass(frozen=True)
class Bar:
    """One row.

    Attributes:
        label: What it is called.
        value: Its length.
        text: What stands at its end.
        group: Bars of one group have one colour.
    """

    label: str
    value: float
    text: str
    group: str


def bar_chart(title: str, subtitle: str, bars: Sequence[Bar]) -> str:
    """Draws bars from top to bottom in their order, as long as their values, with a legend of the groups."""
    groups = sorted({bar.group for bar in bars}, key=lambda group: -sum(b.value for b in bars if b.group == group))
    colour = {group: _COLOURS[i % len(_COLOURS)] for i, group in enumerate(groups)}
    longest = max((bar.value for bar in bars), default=0.0) or 1.0
    height = _TOP + _ROW * (len(bars) + 1) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="12" y="42" fill="#555">{escape(subtitle)}</text>',
    ]
    for i, bar in enumerate(bars):
        y = _TOP + i * _ROW
        length = max(1.0, bar.value / longest * _WIDTH)
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(_short(bar.label))}</text>',
            f'<rect x="{_LEFT}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 5}" fill="{colour[bar.group]}">'
            f"<title>{escape(bar.label)}: {escape(bar.text)}, {escape(bar.group)}</title></rect>",
            f'<text x="{_LEFT + length + 6:.1f}" y="{y + 12}" fill="#333">{escape(bar.text)}</text>',
        ]
    x, y = float(_LEFT), _TOP + _ROW * len(bars) + 22
    for group in groups:
        parts.append(f'<rect x="{x:.0f}" y="{y - 10}" width="10" height="10" fill="{colour[group]}"/>')
        parts.append(f'<text x="{x + 15:.0f}" y="{y}">{escape(group)}</text>')
        x += 32 + 7 * len(group)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _short(label: str, most: int = 46) -> str:
    return label if len(label) <= most else f"…{label[-most + 1 :]}"
