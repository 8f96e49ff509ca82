"""Class names from the files that people keep them in, or from the JSON that a converted file carries."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Final

from edgevit.core import metadata_keys
from edgevit.core._plain import from_plain, to_plain
from edgevit.core.disk.documents import SIZE, parse_json
from edgevit.core.disk.reading import read_bytes, reading
from edgevit.core.errors import InputError
from edgevit.core.require import require
from edgevit.core.types import LabelledOutput, ModelSpec
from edgevit.formats._label_forms import SYNSET as SYNSET
from edgevit.formats._label_forms import Named, from_data, from_lines
from edgevit.formats._label_tables import from_rows

HINT: Final = (
    "write one class name a line in index order, or JSON such as "
    '{"0": "cat", "1": "dog"} or ["cat", "dog"], or a table with the columns id and name'
)
# In files of models with several labelled outputs: a JSON object, output -> class names and kind, the judged one first.
_YAML_LIMIT: Final = 1 << 20
# The longest marks first: that of UTF-32 begins like that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names of `--labels FILE` in index order; see `read_named`."""
    return read_named(path).names


def read_named(path: Path) -> Named:
    """Read `--labels FILE`: the class names in index order, and the number that is written beside the first.

    By its ending, JSON (`id2label`, name to index, a list), YAML (`names:`, as Ultralytics writes it), CSV or
    TSV; any other file has one name a line, with numbers before or after the names where all lines have one.
    UTF-8, or UTF-16 and UTF-32 with a byte order mark.

    Raises:
        InputError: missing, in another encoding, empty, with an empty line in between, with numbers that leave
            classes out, or in a form that can be read in two ways.
    """
    where = f"labels file {path}"
    text = _decoded(read_bytes(path, "labels file", SIZE), where, path)
    suffix = path.suffix.lower()
    with reading(path, "labels file", HINT):
        if suffix in (".csv", ".tsv"):
            found = from_rows(text, "\t" if suffix == ".tsv" else None, where)
        elif suffix == ".json":
            found = from_data(parse_json(text, where, HINT), where)
        elif suffix in (".yaml", ".yml") or _is_literal(text):
            found = from_data(_yaml(text, where), where)
        else:
            found = from_lines(text, where)
    return _checked(found, where)


def parse_labels(content: str | bytes, path: Path) -> tuple[str, ...]:
    """The class names that the converted file `path` carries as a JSON list.

    Raises:
        InputError: no JSON list of texts.
    """
    where = f"{path}: the text of its labels"
    found = parse_json(content, where)
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise InputError(f"{where} is not a list of names", HINT)
    return tuple(found)


def _decoded(content: bytes, where: str, path: Path) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where} is not {encoding.removesuffix('-sig').upper()} text ({error.reason} at byte {error.start})",
            f"save it as UTF-8: iconv -f ENCODING -t UTF-8 {path.name} > labels-utf8.txt, where ENCODING is what it "
            "is in now, such as CP949 (Korean), GB18030 (Chinese), SHIFT_JIS (Japanese) or CP1252 (Western)",
        ) from error
    if "\0" in text:
        raise InputError(
            f"{where} has zero bytes between its letters, as UTF-16 without a byte order mark",
            "save it as UTF-8",
        )
    return text


def _is_literal(text: str) -> bool:
    """A dictionary or list as JSON or Python writes it, in a file of any name; YAML has both forms."""
    ends = text.strip()[:1] + text.strip()[-1:]
    return ends in ("{}", "[]")


def _yaml(text: str, where: str) -> object:
    """Plain data in which every scalar is text: `no` is a name, and no object is ever made."""
    if len(text) > _YAML_LIMIT:
        raise InputError(f"{where} has more than {_YAML_LIMIT >> 20} MiB, too much for class names", HINT)
    yaml = require("yaml")
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = "" if mark is None else f" (line {mark.line + 1})"
        raise InputError(f"{where} is not YAML{at}", HINT) from error


def _checked(found: Named, where: str) -> Named:
    if not found.names:
        raise InputError(f"{where} is empty", HINT)
    if "" in found.names:
        raise InputError(f"{where}: class {found.names.index('')} has no name", HINT)
    return found


def dump_heads(spec: ModelSpec) -> str:
    """What a file carries of its labelled outputs, the judged one first; empty if that is all."""
    if not spec.heads:
        return ""
    heads = {spec.outputs[0].name: LabelledOutput(spec.labels, spec.output), **spec.heads}
    return json.dumps({head: to_plain(found) for head, found in heads.items()}, ensure_ascii=False)


def parse_heads(content: str, path: Path) -> dict[str, LabelledOutput]:
    """Read what `dump_heads` wrote.

    Raises:
        InputError: something else.
    """
    where = f"{path}: {metadata_keys.HEADS}"
    found = parse_json(content, where) if content else {}
    if not isinstance(found, dict):
        raise InputError(
            f"{where} is no object of outputs",
            "convert the model again: edgevit writes the names of each output there",
        )
    return {str(head): from_plain(LabelledOutput, given, where) for head, given in found.items()}
