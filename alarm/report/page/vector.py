"""matplotlib's SVG made part of a page: the page's font and colours, unique names, few digits, no metadata."""

from __future__ import annotations

import re
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
HREF = f"{{{XLINK}}}href"
THEMED = {
    "#000000": "currentColor",
    "#262626": "currentColor",
    "#b0b0b0": "var(--grid)",
    "#cccccc": "var(--line)",
    "#ffffff": "var(--surface)",
    "#882255": "var(--plum)",
    "#8c564b": "var(--brown)",
}
"""Colours that must differ between a light and a dark page; the others are legible on both."""
DIGITS = 2
_NUMBER = re.compile(rf"-?\d+\.\d{{{DIGITS + 1},}}")
_REFERENCE = re.compile(r"#([^)\s]+)")


def themed_svg(svg: str, *, name: str, title: str) -> str:
    """The figure as an element for a page that defines the colours of `THEMED`.

    Args:
        svg: as matplotlib writes it, with text as text.
        name: begins all ids, so that several figures may stand in one page.
        title: what a screen reader says.
    """
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            # The only style sheet matplotlib writes is one for `*`, which in a page would mean the whole page.
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = {found for e in root.iter() for key in (HREF, "clip-path") for found in _REFERENCE.findall(e.get(key, ""))}
    for element in root.iter():
        identity = element.attrib.pop("id", None)
        element.attrib = {key: _adapted(key, value, name) for key, value in element.attrib.items()}
        if identity in used:
            element.attrib["id"] = f"{name}-{identity}"
        element.text, element.tail = (text.strip() if text else None for text in (element.text, element.tail))
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode")


def _adapted(key: str, value: str, name: str) -> str:
    if key in (HREF, "clip-path"):
        return _REFERENCE.sub(rf"#{name}-\1", value)
    if key == "style":
        value = "; ".join(filter(None, map(_declaration, value.split(";"))))
    return _NUMBER.sub(_rounded, " ".join(value.split()))


def _declaration(text: str) -> str:
    """One declaration of a style, without the font's family, which is the page's."""
    key, _, value = (part.strip() for part in text.partition(":"))
    if key == "font":  # older releases of matplotlib write the shorthand, family included
        key, value = "font-size", re.search(r"[\d.]+px", value)[0]
    return "" if key in ("", "font-family") else f"{key}: {THEMED.get(value, value)}"


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.{DIGITS}f}".rstrip("0").rstrip(".")
