"""Plans that are printed, edited and given back, and images that a plan should not be made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.core.errors import InputError, UsageError
from edgevit.flows import _plan_tables
from edgevit.quant import plan_file
from edgevit.steps import messages
from tests._command import edgevit
from tests.edgevit.flows._tiny import prepared, settings_of, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("net"))


def flags(model: Path, *more: str | Path, **changes: Any) -> list[str | Path]:
    settings = settings_of(model, **changes)
    named = [(f"--{k.replace('_', '-')}", str(v)) for k, v in settings.items() if k != "model"]
    return [settings["model"], *(word for pair in named for word in pair), *more]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_plan_given_back_makes_the_same_bytes_and_an_edited_one_other_files(
    model: Path, tmp_path: Path
) -> None:
    """Through the command line: what was decided with --auto-float needs nothing but its plan to be made again.

    The plan remembers weights, images and targets. The model is code, which a plan alone does not run.
    """
    limits = ("--auto-float", "--min-sqnr", "35")
    first = edgevit("convert", *flags(model, *limits, "-o", tmp_path / "a", "--json"))
    assert first.returncode == 0, first.stderr
    (told,) = json.loads(first.stdout)["artifacts"]
    left = [site["site"] for site in told["auto_float"]["sites"]]
    assert left and any("Kept in float32 to meet --min-sqnr 35: " + left[0] in note for note in told["notes"])
    assert [s["sqnr_db"] for s in told["sensitivity"]] == sorted(s["sqnr_db"] for s in told["sensitivity"])
    given = ("--plan", tmp_path / "a" / "plan.json", "-o", tmp_path / "b", "-q")
    alone = edgevit("convert", *given)
    assert alone.returncode == 2 and "which is code" in alone.stderr and not (tmp_path / "b").exists()
    again = edgevit("convert", settings_of(model)["model"], *given)
    assert again.returncode == 0, again.stderr
    for name in ("onnx/w8a8/model.onnx", "plan.json", "plan.safetensors"):
        assert sha256(tmp_path / "a" / name) == sha256(tmp_path / "b" / name), name


def edited(work: Path, folder: Path, change: Any) -> Path:
    """A copy of a plan's two files under a name of its own, its JSON changed."""
    document = json.loads((work / messages.PLANS / "plan.json").read_text())
    change(document["plans"][0])
    folder.mkdir()
    (folder / "mine.json").write_text(json.dumps(document))
    (folder / "plan.safetensors").write_bytes((work / messages.PLANS / "plan.safetensors").read_bytes())
    return folder / "mine.json"


def test_edits_take_effect_and_nonsense_is_refused(model: Path, tmp_path: Path) -> None:
    (plain,) = prepared(model, tmp_path / "plain").simulated

    def coarse(plan: Any) -> None:
        plan["sites"][2]["input"]["scale"] = [1.0]

    def shorter(plan: Any) -> None:
        del plan["sites"][2]

    (worse,) = prepared(
        model, tmp_path / "w", plan=edited(tmp_path / "plain", tmp_path / "coarse", coarse)
    ).simulated
    assert worse.compression.sqnr_db < plain.compression.sqnr_db - 3
    (better,) = prepared(
        model, tmp_path / "x", plan=edited(tmp_path / "plain", tmp_path / "shorter", shorter)
    ).simulated
    assert better.integer_macs < plain.integer_macs
    (plan,) = plan_file.load(tmp_path / "x" / messages.PLANS)
    assert dict(plan.skipped)["layers.1.0:linear"] == "the plan that was given leaves it out"

    def none(plan: Any) -> None:
        plan["sites"], plan["tensors"] = [], {}

    (floating,) = prepared(
        model, tmp_path / "z", plan=edited(tmp_path / "plain", tmp_path / "none", none)
    ).simulated
    assert floating.integer_macs == 0 and floating.sensitivity == ()
    assert floating.compression.sqnr_db > 100  # nothing is rounded

    def zero(plan: Any) -> None:
        plan["sites"][2]["input"]["scale"] = [0.0]

    with pytest.raises(InputError, match=r"onnx w8a8, site layers\.1\.0:linear: its input has the scale 0"):
        prepared(model, tmp_path / "y", plan=edited(tmp_path / "plain", tmp_path / "zero", zero))


def test_other_images_fold_other_weights_and_the_error_says_so(model: Path, tmp_path: Path) -> None:
    prepared(model, tmp_path / "plain")
    with pytest.raises(InputError, match="other weights") as raised:
        prepared(
            model,
            tmp_path / "other",
            plan=tmp_path / "plain" / messages.PLANS,
            calibrate=str(model / "other.npz"),
        )
    assert "--calibrate" in raised.value.hint
    with pytest.raises(InputError, match="was made for weights with the sha256"):
        prepared(model, tmp_path / "seed", plan=tmp_path / "plain" / messages.PLANS, random_weights=1)
    with pytest.raises(InputError, match="no plan for onnx w8; it has onnx w8a8"):
        prepared(model, tmp_path / "w8", plan=tmp_path / "plain" / messages.PLANS, precision="w8")
    with pytest.raises(UsageError, match="has plans for onnx w8a8, but nothing .* is quantized"):
        prepared(model, tmp_path / "fp16", plan=tmp_path / "plain" / messages.PLANS, precision="fp16")


def test_a_broken_plan_is_one_error_of_the_command_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    done = edgevit("quantize", *flags(model, "--plan", tmp_path / "plan.json", "--dry-run"))
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-2].startswith("error: ") and "no readable plan" in done.stderr


@pytest.mark.parametrize(
    ("to", "precision", "words"),
    [
        ("onnx", "w8a8", ("uint8 0.0", "int8 per channel", "int32", ", zero ")),
        (
            "onnx",
            "w8da8",
            ("uint8 per tensor of tokens scaled to 1, at run time", "int8 per channel", "float"),
        ),
        ("onnx", "w4", ("int4 in blocks of 32", "int8 per channel", "int8 at the ends")),
        ("tflite", "w8a8", ("int8 0.0", "per channel where it pays")),
        ("coreml", "lut4", ("16 values for 16 channels", "all else in float16")),
    ],
)
def test_tables_show_every_site_with_its_grids_form_loss_and_capabilities(
    model: Path, tmp_path: Path, to: str, precision: str, words: tuple[str, ...]
) -> None:
    found = prepared(model, tmp_path / "work", to=to, precision=precision)
    (plan,) = plan_file.load(tmp_path / "work" / messages.PLANS)
    tables = _plan_tables.tables(plan, found)
    text = "\n".join(
        [table.title + " " + " | ".join(cell for row in table.rows for cell in row) for table in tables]
    )
    for site in plan.sites:
        assert site.site in text
    for site_name, reason in plan.skipped:
        assert site_name in text and reason in text
    missing = [word for word in words if word not in text]
    assert not missing, text
    cells = [row for table in tables for row in table.rows]
    alone = {(one.site, f"{one.sqnr_db:.1f}") for one in found.simulated[0].sensitivity}
    assert alone and all(any(site in row and loss in row for row in cells) for site, loss in alone)
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)


def images_of(folder: Path, name: str, pixels: np.ndarray, labels: np.ndarray) -> str:
    np.savez(folder / name, images=pixels, labels=labels)
    return str(folder / name)


def test_black_images_of_one_class_are_warned_about_with_what_shows_it(model: Path, tmp_path: Path) -> None:
    black = images_of(tmp_path, "black.npz", np.zeros((12, 16, 16, 3), np.uint8), np.ones(12, np.int64))
    found = prepared(model, tmp_path / "work", calibrate=black, evaluate=str(model / "images.npz"))
    told = "\n".join(found.warnings)
    assert "12 calibration images are few" in told
    assert "all 12 calibration images are black" in told and "the brightest is 0" in told
    assert "all 12 calibration images show class 1" in told


def variant(model: Path, folder: Path, old: str, new: str) -> dict[str, Any]:
    """The same network with one expression changed and weights of its own."""
    text = (model / "nets.py").read_text()
    assert old in text
    (folder / "nets.py").write_text(text.replace(old, new))
    stated = {"normalize": "imagenet"}
    return {"model": f"python:{folder / 'nets.py'}:Net", "random_weights": None, "preprocess": stated}


def test_a_layer_that_nothing_reaches_is_warned_about(model: Path, tmp_path: Path) -> None:
    dead = variant(model, tmp_path, "self.layers(value)", "self.layers(value * 0 + 0.3)")
    found = prepared(model, tmp_path / "work", **dead)
    (told,) = (text for text in found.warnings if "one value" in text)
    assert "activations with one value throughout all 64 calibration images: " in told and "(0.3)" in told


def test_infinite_activations_are_an_error_that_names_the_first(model: Path, tmp_path: Path) -> None:
    hidden = "nn.functional.softsign(self.head((self.layers(value) * 1e38 * 1e38).mean(1))).nan_to_num()"
    inside = variant(model, tmp_path, "self.head(self.layers(value).mean(1))", hidden)
    with pytest.raises(InputError, match=r"the activation .* is not finite on the calibration") as raised:
        prepared(model, tmp_path / "work", **inside)
    assert "preprocessing" in raised.value.hint
