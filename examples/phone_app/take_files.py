"""Put the code of a bundle's USAGE.md, its model files and its labels into the two apps.

edgevit convert demo --to tflite,coreml --precision fp16,w8a8 -o dist/phone
python examples/phone_app/take_files.py dist/phone
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Final

APPS: Final = Path(__file__).parent
PACKAGE: Final = "org.example.edgevit"
KOTLIN: Final = Path("android/app/src/main/java", *PACKAGE.split("."))
ASSETS: Final = Path("android/app/src/main/assets")
SWIFT: Final = Path("ios")
# Of the files that USAGE.md shows, those that the apps use.
USED: Final = ("Preparation.kt", "Answer.kt", "LiteRtModel.kt", "Model.swift", "VisionModel.swift")


def take(bundle: Path, apps: Path = APPS) -> None:
    """Copy from `bundle` into `apps`.

    Raises:
        SystemExit: the bundle has no TFLite or no Core ML file.
    """
    page = (bundle / "USAGE.md").read_text(encoding="utf-8")
    for name, code in code_files(page).items():
        if name in USED:
            place = apps / (KOTLIN if name.endswith(".kt") else SWIFT) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(
                f"package {PACKAGE}\n\n{code}" if name.endswith(".kt") else code, encoding="utf-8"
            )
    tflite, coreml = bundle / chosen(page, "model.tflite"), bundle / chosen(page, "model.mlpackage")
    assets = apps / ASSETS
    assets.mkdir(parents=True, exist_ok=True)
    shutil.copy(tflite, assets / "model.tflite")
    with zipfile.ZipFile(tflite) as metadata:  # TFLite Model Metadata lies behind the model as a zip
        (assets / "labels.txt").write_bytes(metadata.read("labels.txt"))
    shutil.copytree(coreml, apps / SWIFT / "model.mlpackage", dirs_exist_ok=True)


def code_files(page: str) -> dict[str, str]:
    """Every Kotlin and Swift file of a page by its name, which its first line says."""
    return {
        name: f"// {name}\n{body}"
        for name, body in re.findall(r"```\w+\n// (\w+\.(?:kt|swift))\n(.*?)```", page, re.DOTALL)
    }


def chosen(page: str, name: str) -> str:
    """The file of the bundle that the page's code is for."""
    found = re.search(rf"(?:^TFLite: |^Add )`([^`]+/{re.escape(name)})`", page, re.MULTILINE)
    if found is None:
        sys.exit(f"USAGE.md has no code for {name}: convert with --to tflite,coreml")
    return found[1]


if __name__ == "__main__":
    take(Path(sys.argv[1]))
