"""Charts as SVG: stacked horizontal bars, and lines over time."""

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _LABEL, _ROW, _TOP = 860, 300, 30, 58
_COLOURS = ("#3b6ea8", "#8fb573", "#d99a4e", "#a86f9c")
_STYLE = (
    'font-family="system-ui, sans-serif" font-size="13" fill="#1d2733" role="img" '
    'aria-labelledby="title"'
)


def bars(title: str, unit: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """One bar per row, made of its named parts; the total is written beside it."""
    longest = max((sum(parts.values()) for parts in rows.values()), default=1) or 1
    scale = (_WIDTH - _LABEL - 90) / longest
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    shapes = _legend(names)
    for number, (label, parts) in enumerate(rows.items()):
        y, x = _TOP + number * _ROW, float(_LABEL)
        shapes.append(_text(_LABEL - 8, y + 15, label, "end"))
        for name, value in parts.items():
            colour = _COLOURS[names.index(name) % len(_COLOURS)]
            width = value * scale
            shapes.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" fill="{colour}"/>'
            )
            x += width
        shapes.append(_text(x + 6, y + 15, f"{sum(parts.values()):,.0f} {unit}"))
    return _svg(title, _TOP + len(rows) * _ROW + 8, shapes)


def lines(title: str, unit: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One line per series of (seconds, value); the vertical axis begins at zero."""
    height = 300
    points = [point for samples in series.values() for point in samples]
    last_s = max((second for second, _ in points), default=1) or 1
    most = max((value for _, value in points), default=1) * 1.1 or 1
    left, right, bottom = 70, _WIDTH - 20, height - 34

    def place(second: float, value: float) -> str:
        x = left + second / last_s * (right - left)
        return f"{x:.1f},{bottom - value / most * (bottom - _TOP):.1f}"

    shapes = _legend(list(series))
    shapes.append(f'<path d="M{left} {_TOP}V{bottom}H{right}" fill="none" stroke="#44546a"/>')
    shapes.append(_text(left - 8, _TOP + 8, f"{most:,.0f} {unit}", "end"))
    shapes.append(_text(left - 8, bottom, "0", "end"))
    shapes.append(_text(right, bottom + 20, f"{last_s / 60:.0f} min", "end"))
    for number, samples in enumerate(series.values()):
        path = " ".join(place(*sample) for sample in samples)
        shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{_COLOURS[number]}" stroke-width="2"/>'
        )
    return _svg(title, height, shapes)


def _legend(names: Sequence[str]) -> list[str]:
    shapes, x = [], float(_LABEL)
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        shapes.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>')
        shapes.append(_text(x + 18, 45, name))
        x += 40 + 8 * len(name)
    return shapes


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, height: int, shapes: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_STYLE}>'
    back = f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
    name = f'<title id="title">{escape(title)}</title>'
    heading = f'<text x="12" y="20" font-weight="600">{escape(title)}</text>'
    return "\n".join([head, name, back, heading, *shapes, "</svg>"]) + "\n"
