"""What was executed on devices, as rows of text: one table for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgevit.core.results.figures import NOTHING, decibel, percent, signed
from edgevit.core.results.report import Device, OnDevice, Report

COLUMNS: Final = (
    "file",
    "top-1",
    "drop",
    "agreement",
    "SQNR dB\ntotal",
    "SQNR dB\nthere/here",
    "integer\nMACs",
    "delegate\nparts",
    "latency",
    "times fp32\n[95 % interval]",
    "peak\nMB",
    "verdict",
)


@dataclass(frozen=True, slots=True)
class DeviceTable:
    """One device: what it is, in one line, and a row of cells in the order of COLUMNS for each file."""

    title: str
    rows: tuple[tuple[OnDevice, tuple[str, ...]], ...]
    notes: tuple[str, ...]


def device_tables(report: Report) -> tuple[DeviceTable, ...]:
    """One table for each device that files were sent to; none where no device was asked for."""
    known = {device.device: device for device in report.devices}
    names = tuple(dict.fromkeys(one.device for artifact in report.artifacts for one in artifact.devices))
    tables = []
    for name in names:
        device = known.get(name)
        rows = tuple(
            (one, _cells(artifact.name, one, device))
            for artifact in report.artifacts
            for one in artifact.devices
            if one.device == name
        )
        remarks = tuple(
            f"{artifact.name}: {remark}"
            for artifact in report.artifacts
            for one in artifact.devices
            if one.device == name
            for remark in one.remarks
        )
        tables.append(DeviceTable(_title(name, device), rows, (*(device.notes if device else ()), *remarks)))
    return tuple(tables)


def _title(name: str, device: Device | None) -> str:
    if device is None:
        return f"{name}: not reached"
    said = device.fingerprint
    cores = said.cpu if "x " in said.cpu else f"{said.cores} cores {said.cpu or said.machine}"
    features = f" ({', '.join(said.features)})" if said.features else ""
    played = f", played by {said.emulated}" if said.emulated else ""
    parts = (said.model, f"{cores}{features}{played}", said.system)
    return f"{name}: {'; '.join(part for part in parts if part)}"


def _cells(file: str, one: OnDevice, device: Device | None) -> tuple[str, ...]:
    accuracy, latency = one.accuracy, one.latency
    drop = None if accuracy is None else accuracy.drop_pp
    ratio = None if latency is None else latency.ratio_to_fp32
    time = NOTHING if latency is None else f"{latency.p50_ms:.3g} ms"
    if latency is None and device is not None and device.fingerprint.emulated:
        time = "emulated"
    return (
        file,
        percent(accuracy.top1 if accuracy else None),
        NOTHING if drop is None else signed(drop),
        percent(accuracy.agreement if accuracy else None),
        decibel(one.total.sqnr_db if one.total else None),
        decibel(one.loss.sqnr_db if one.loss else None),
        NOTHING if one.integer_mac_fraction is None else f"{100 * one.integer_mac_fraction:.0f} %",
        NOTHING if one.partitions is None else str(one.partitions),
        time,
        NOTHING if ratio is None else f"{ratio.value:.2f} [{ratio.ci95[0]:.2f}, {ratio.ci95[1]:.2f}]",
        NOTHING if one.peak_rss_bytes is None else f"{one.peak_rss_bytes / 1e6:.0f}",
        one.verdict,
    )
