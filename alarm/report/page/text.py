"""Sentences and numbers of tables as HTML."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_MARKED = re.compile(r"`(?P<code>[^`]+)`|arXiv:(?P<paper>\d{4}\.\d{4,5})|\*\*(?P<strong>[^*]+)\*\*")


def inline(text: str) -> Markup:
    """Escaped text in which backticks are code, double asterisks strong, and arXiv numbers links.

    >>> inline("see `a<b>` in arXiv:2403.06754")
    Markup('see <code>a&lt;b&gt;</code> in <a href="https://arxiv.org/abs/2403.06754">arXiv:2403.06754</a>')
    """
    parts, end = [], 0
    for found in _MARKED.finditer(text):
        parts += [escape(text[end : found.start()]), _marked(found)]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def breakable(text: str) -> Markup:
    """Escaped text that may break after the marks inside names.

    >>> breakable("alarm@soft_label")
    Markup('alarm@<wbr>soft_<wbr>label')
    """
    return Markup(re.sub(r"([_@+])", r"\1<wbr>", str(escape(text))))


def _marked(found: re.Match[str]) -> Markup:
    if found["code"] is not None:
        return Markup("<code>{}</code>").format(found["code"])
    if found["strong"] is not None:
        return Markup("<strong>{}</strong>").format(found["strong"])
    return Markup('<a href="https://arxiv.org/abs/{0}">arXiv:{0}</a>').format(found["paper"])
