"""Class names in a table, CSV or TSV: which column has them, and whether the first row is headings."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgevit.core.errors import InputError
from edgevit.formats._label_forms import (
    NAME_WORDS,
    NUMBER_WORDS,
    SYNSET,
    Named,
    ambiguous,
    from_lines,
    is_number,
    name_of,
    placed,
    places,
)


def from_rows(text: str, delimiter: str | None, where: str) -> Named:
    """From CSV or TSV, with or without a line of headings; one column of names, or one of them and one of numbers.

    Args:
        delimiter: None to find out whether it is a comma, a semicolon or a tab.

    Raises:
        InputError: rows of different lengths, or it is not clear which column has the names.
    """
    tables = [_table(text, mark) for mark in ((delimiter,) if delimiter else (",", ";", "\t"))]
    even = [table for table in tables if table and len({len(row) for row in table}) == 1]
    if not even:
        raise InputError(
            f"{where}: its rows have different numbers of columns",
            'write names that hold commas in quotes: "a, b"',
        )
    rows = max(even, key=lambda table: len(table[0]))
    if len(rows[0]) == 1:
        names = [row[0] for row in rows]
        return from_lines("\n".join(names[names[0].casefold() in NAME_WORDS :]), where)
    headings = [cell.casefold() for cell in rows[0]]
    found = _from_columns(rows, (), where) or _from_columns(rows[1:], headings, where)
    if found is None:
        raise InputError(
            f"{where} has {len(headings)} columns, and which of them has the class names is not clear",
            "write a first line with the headings id and name, numbered from 0; or one name a line",
        )
    return found


def _table(text: str, delimiter: str) -> list[list[str]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in rows if any(row)]


def _from_columns(rows: Sequence[Sequence[str]], headings: Sequence[str], where: str) -> Named | None:
    """The names in a table with several columns; None where that does not say which column has them."""
    columns = list(zip(*rows, strict=True))
    numbers = {at: found for at, column in enumerate(columns) if (found := places(column)) is not None}
    texts = [at for at in range(len(columns)) if at not in numbers]
    if len(texts) > 1:
        texts = [at for at in texts if not all(map(SYNSET.fullmatch, columns[at]))]
    if len(texts) != 1:
        named = [at for word in NAME_WORDS for at, heading in enumerate(headings) if heading == word]
        if not named or not rows:
            return None
        texts = named[:1]
        numbers.pop(texts[0], None)
        if not numbers and all(map(is_number, columns[texts[0]])):  # the numbers of classes, not their names
            return None
    if len(set(numbers.values())) > 1:
        numbers = {at: found for at, found in numbers.items() if headings and headings[at] in NUMBER_WORDS}
        if len(numbers) != 1:
            raise ambiguous(where)
    names = tuple(name_of(name, where) for name in columns[texts[0]])
    return placed(names, next(iter(numbers.values()))) if numbers else Named(names)
