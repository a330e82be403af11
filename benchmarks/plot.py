"""A curve on logarithmic scales as SVG, written by hand: the same figures give the same bytes.

What must not live here: where figures come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

import msgspec

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 20, 55
_INSET = 45
"""Room for what is written beside the first and the last point."""
_FONT = 'font-family="system-ui, sans-serif" font-size="13"'
_INK, _GRID, _CURVE = "#57606a", "#d0d7de", "#0969da"
"""Readable on white and on black."""


class Series(msgspec.Struct, frozen=True):
    """A named curve; all coordinates are above zero, the first ones rise."""

    name: str
    points: tuple[tuple[float, float], ...]


def log_log_svg(series: Series, x_title: str, y_title: str) -> str:
    """``series`` as a curve, with a dashed line through its first point that shows linear growth."""
    scale = _Scale(series)
    parts = [*_grid(scale), *_linear(scale, series), *_curve(scale, series)]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 12, x_title, "middle"))
    parts.append(_text(_LEFT + 6, _TOP + 14, y_title, "start"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(y_title)} over {escape(x_title)}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


class _Scale:
    """From figures to places on the paper; both axes span whole powers of ten."""

    def __init__(self, series: Series) -> None:
        self.x_powers = _powers([x for x, _ in series.points])
        self.y_powers = _powers([y for _, y in series.points])

    def x(self, value: float) -> float:
        """Distance from the left edge."""
        return _LEFT + _INSET + _share(value, self.x_powers) * (_WIDTH - _LEFT - _RIGHT - 2 * _INSET)

    def y(self, value: float) -> float:
        """Distance from the upper edge."""
        return _HEIGHT - _BOTTOM - _share(value, self.y_powers) * (_HEIGHT - _TOP - _BOTTOM)


def _powers(values: list[float]) -> range:
    lowest, highest = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return range(lowest, max(highest, lowest + 1) + 1)


def _share(value: float, powers: range) -> float:
    return (math.log10(value) - powers[0]) / (powers[-1] - powers[0])


def _grid(scale: _Scale) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for power in scale.x_powers:
        x = scale.x(10.0**power)
        yield _line(x, _TOP, x, bottom, f'stroke="{_GRID}"')
        yield _text(x, bottom + 18, f"{10**power:,}", "middle")
    for power in scale.y_powers:
        y = scale.y(10.0**power)
        yield _line(_LEFT, y, right, y, f'stroke="{_GRID}"')
        yield _text(_LEFT - 8, y + 4, f"{10.0**power:g}", "end")


def _linear(scale: _Scale, series: Series) -> Iterator[str]:
    (x, y), (end, _) = series.points[0], series.points[-1]
    style = f'stroke="{_INK}" stroke-dasharray="5 4"'
    yield _line(scale.x(x), scale.y(y), scale.x(end), scale.y(y * end / x), style)
    yield _text(scale.x(end) - 8, scale.y(y * end / x) + 34, "linear", "end")


def _curve(scale: _Scale, series: Series) -> Iterator[str]:
    places = [(scale.x(x), scale.y(y)) for x, y in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{_CURVE}" stroke-width="2"/>'
    for (x, y), (_, value) in zip(places, series.points, strict=True):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_CURVE}"/>'
        yield _text(x - 8, y - 8, f"{value:.2f}", "end")


def _line(x: float, y: float, to_x: float, to_y: float, style: str) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" {style}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{_INK}" {_FONT}>{escape(text)}</text>'
