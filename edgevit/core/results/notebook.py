"""Tables as HTML for a notebook: everything that is written is escaped, and nothing needs a style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from edgevit.core.foreign import printable


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], lines: Iterable[str] = ()
) -> str:
    """A title, a table, and sentences below it, each of plain text."""
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    below = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return (
        f"<div><p><strong>{_text(title)}</strong></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{f'<ul>{below}</ul>' if below else ''}</div>"
    )


def text(lines: Iterable[str]) -> str:
    """Lines as they are, in one block."""
    return f"<pre>{escape(printable(chr(10).join(lines), lines=True))}</pre>"


def _text(content: str) -> str:
    return escape(printable(content))
