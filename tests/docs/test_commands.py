"""Every `edgevit ...` in the documentation is a command that the real command line takes, with every flag and value."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from edgevit.cli import app
from edgevit.core.errors import UsageError
from edgevit.core.settings.recipe import Recipe
from edgevit.flows.make_recipe import make
from edgevit.steps.resolve import resolve
from tests.docs._pages import ROOT, commands, fragments, pages

GROUP = typer.main.get_command(app)
PLACEHOLDER = re.compile(r"[A-Z_]+")  # MODEL, SAMPLES, FILE: what a reader puts in
FILES = ("weights", "plan", "labels")  # they need not be there
RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.toml"))


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages call their images: it is looked whether they are there, and enough."""
    monkeypatch.chdir(tmp_path)
    for place in ("photos/train", "photos/val"):
        Path(place).mkdir(parents=True)
        for index in range(64):
            Image.new("RGB", (4, 4)).save(f"{place}/{index}.png")
    np.savez("images.npz", images=np.zeros((4, 8, 8, 3), np.uint8))


def parse(line: str) -> tuple[str, dict[str, object]]:
    """The command and its parameters; `...` stands for more of the line, and is left out.

    A command that is only mentioned, such as `edgevit inspect --json`, needs no argument.
    """
    words = [word for word in shlex.split(line) if word != "..."]
    if words[0] in ("--help", "--version"):
        return "", {}
    name, *rest = words
    if name not in GROUP.commands:
        raise UsageError(f"no command {name!r}")
    mentioned = all(word.startswith("-") for word in rest)
    try:
        return name, GROUP.commands[name].make_context(name, rest).params
    except typer.TyperException as error:
        if mentioned and type(error).__name__ == "MissingParameter":
            return "", {}
        raise


def settings(given: dict[str, object]) -> dict[str, object]:
    """Those of the parameters that a Recipe has, without files that a page only speaks of."""
    known = {entry.name for entry in fields(Recipe)} - set(FILES)
    return {name: value for name, value in given.items() if name in known}


def is_placeholder(value: object) -> bool:
    """Whether it only stands for what a reader would give, alone or in a list."""
    values = value if isinstance(value, list) and value else [value]
    return all(PLACEHOLDER.fullmatch(str(one)) for one in values)


def check_names(name: str, given: dict[str, object]) -> None:
    """Precisions, targets, options, rewrites, keys of preprocessing, limits: all that can be told before any work.

    Raises:
        EdgevitError: as of the command.
    """
    flags = {key: value for key, value in settings(given).items() if not is_placeholder(value)}
    if name not in ("convert", "quantize") or "program" in str(
        flags.get("to")
    ):  # examples/target brings that
        return
    flags["model"] = flags.get("model") or "demo"
    recipe = given.get("recipe")
    file = ROOT / str(recipe) if recipe and (ROOT / str(recipe)).exists() else None
    resolve(make(flags, file, defaults={"precision": "w8a8"} if name == "quantize" else None))


def wrong(lines: list[str]) -> dict[str, str]:
    """What the command line says of the lines that it does not take."""
    found = {}
    for line in lines:
        try:
            name, given = parse(line)
            if "..." not in line:
                check_names(name, given)
        except Exception as error:
            found[line] = f"{type(error).__name__}: {error}"
    return found


# What people type wrongly, and flags of what lies in bench/.
NOT_OURS = re.compile(r"docs/(inputs|benchmarks|adr/0014.*|adr/0017.*)\.md")


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


WITH_COMMANDS = [page for page in pages() if commands(page)]
WITH_FLAGS = [page for page in pages() if fragments(page) and not NOT_OURS.fullmatch(named(page))]


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=named)
def test_every_command_is_taken(page: Path) -> None:
    assert wrong(commands(page)) == {}


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("page", WITH_FLAGS, ids=named)
def test_every_group_of_flags_is_taken(page: Path) -> None:
    """`--to onnx --precision w8` in a table, without the command in front."""
    validate = "validate model.onnx --reference demo"
    convert = "convert timm:test_vit2 --calibrate photos/train"
    begun = ((flags, validate if "--file-preprocess" in flags else convert) for flags in fragments(page))
    assert wrong([f"{start} {flags}" for flags, start in begun]) == {}


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("name", GROUP.commands)
def test_every_example_of_the_help_is_taken(name: str) -> None:
    text = GROUP.commands[name].help or ""
    lines = re.findall(r"^ *edgevit (.*)$", re.sub(r"\\\n\s*", "", text), re.MULTILINE)
    assert lines or name in ("list", "doctor", "verify")
    assert wrong(lines) == {}


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_recipe_says_what_the_page_says_of_it(file: Path) -> None:
    page = (ROOT / "docs" / "devices.md").read_text()
    row = re.search(rf"^\|.*\| `{file.name}` \| `(.*)` \|$", page, re.MULTILINE)
    assert row is not None
    _, flags = parse(f"convert demo {row[1]}")
    assert make({"model": "demo"}, file) == make(settings(flags))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("convert demo --precisoin w8", "NoSuchOption"),
        ("convert demo --precision int8", "UsageError"),
        ("convert demo --to onxx", "UsageError"),
        ("convert demo --option onnx.opest=17", "UsageError"),
        ("convert demo --option onnx.opset=5", "UsageError"),
        ("convert demo --to coreml --precision w8da8", "UnsupportedError"),
        ("convert demo --calibration-count many", "BadParameter"),
        ("convert timm:vit_tiny_patch16_224 --precision w8a8", "UsageError"),
        ("inspect", ""),
        ("inspct demo", "UsageError"),
        ("run model.onnx", "MissingParameter"),
    ],
)
def test_a_line_that_is_wrong_is_found(line: str, error: str) -> None:
    assert [told.split(":")[0] for told in wrong([line]).values()] == ([error] if error else [])


def test_the_matrix_is_that_of_the_targets() -> None:
    from edgevit import registries
    from edgevit.core.precisions import Precision

    names = {"ONNX": "onnx", "TFLite": "tflite", "Core ML": "coreml"}
    readme = (ROOT / "README.md").read_text()
    head = re.search(r"^\| \| (`fp32`.*) \|$", readme, re.MULTILINE)
    assert head is not None
    columns = [re.findall(r"`(\w+)`", column) for column in head[1].split("|")]
    for title, name in names.items():
        row = re.search(rf"^\| {title} \| ((?:(?:yes|no) \| )+(?:yes|no)) \|$", readme, re.MULTILINE)
        assert row is not None
        said = {
            p
            for column, word in zip(columns, row[1].split(" | "), strict=True)
            for p in column
            if word == "yes"
        }
        assert said == set(registries.TARGETS.get(name).precisions)
    full = dict(_matrix((ROOT / "docs" / "convert.md").read_text()))
    assert set(full) == set(Precision)
    for position, name in enumerate(names.values()):
        assert {p for p, cells in full.items() if cells[position] == "yes"} == set(
            registries.TARGETS.get(name).precisions
        )


def _matrix(page: str) -> list[tuple[str, list[str]]]:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (yes|no) \| (yes|no) \| (yes|no) \|", page, re.MULTILINE)
    return [(precision, cells) for first, *cells in rows for precision in re.findall(r"`(\w+)`", first)]
