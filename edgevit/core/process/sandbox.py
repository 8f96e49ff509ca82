"""Take rights from this process for good: writing outside some folders, and reaching the network.

For steps that open files of unknown origin. On Linux, writing is stopped by Landlock (5.13 and later,
see landlock(7)), the network by a network namespace of its own, empty but for a loopback that is down,
or where that is not allowed by Landlock's rules for TCP (6.7 and later). Neither needs privileges or a
package. Elsewhere there is nothing of the kind, and the report says so: the check of the file stands alone.

What it does not stop: reading files, sockets in the file system, and what the parent makes of the result.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

# The user's own cache, where a sandbox has put `XDG_CACHE_HOME` elsewhere.
CACHE: Final = "EDGEVIT_CACHE_HOME"
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_GIVE_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000

# linux/capability.h: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
_CAPABILITY_VERSION: Final = 0x20080522
_CAPABILITIES: Final = 1 << 1 | 1 << 2

# linux/landlock.h: rights by the version of the interface that knows them.
_WRITE_FILE: Final = 1 << 1
_CHANGES: Final = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # remove and make what is in a folder
_REFER: Final = 1 << 13  # 2: link or rename across folders
_TRUNCATE: Final = 1 << 14  # 3
_TCP: Final = 0b11  # 4: bind and connect
_SCOPES: Final = 0b11  # 6: abstract sockets and signals of processes outside
# Devices, pipes and symbolic links, not even in its own folders: the parent reads and writes there afterwards.
_NEVER: Final = 1 << 6 | 1 << 10 | 1 << 11 | 1 << 12
_OF_FILES: Final = _WRITE_FILE | _TRUNCATE

# Where libraries keep caches; all of it goes into the scratch folder.
_CACHES: Final = (
    "XDG_CACHE_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "NUMBA_CACHE_DIR",
    "MPLCONFIGDIR",
)

Files = Literal["landlock", "none"]
Network = Literal["namespace", "landlock", "none"]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a step keeps: writing to these existing folders and to its scratch folder."""

    writable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Isolation:
    """What holds a process back.

    Attributes:
        files: what stops it from writing outside its folders, `landlock` or `none`.
        network: what stops it from reaching the network: `namespace` (nothing is reachable),
            `landlock` (no TCP) or `none`.
    """

    files: Files
    network: Network


def cache_home() -> str:
    """The user's cache folder, also within a sandbox."""
    return os.environ.get(CACHE) or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")


def available() -> Isolation:
    """What `enter` would give on this system, found out in a child process."""
    if sys.platform != "linux":
        return Isolation("none", "none")
    version = _version()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.write(write_end, b"y" if _leave_network() else b"n")
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        alone = answer.read() == b"y"
    os.waitpid(child, 0)
    return Isolation("landlock" if version else "none", _network(alone, version))


def enter(writable: Sequence[Path], scratch: Path) -> Isolation:
    """Leave this process, its threads and its children nothing to write but `writable`, and no network.

    To be called before there are threads. Cannot be undone.

    Args:
        writable: folders and files that exist; /dev/null is added.
        scratch: one of them, where libraries get their caches.

    Returns:
        What this system could do.
    """
    os.environ[CACHE] = cache_home()
    os.environ.update(dict.fromkeys(_CACHES, str(scratch / "cache")))
    if sys.platform != "linux":
        return Isolation("none", "none")
    alone = _leave_network()
    version = _version()
    restricted = version > 0 and _restrict(version, [*writable, Path(os.devnull)])
    _drop_capabilities()
    return Isolation("landlock" if restricted else "none", _network(alone, version if restricted else 0))


def _network(alone: bool, version: int) -> Network:
    if alone:
        return "namespace"
    return "landlock" if version >= 4 else "none"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _version() -> int:
    """Landlock's version, 0 where the kernel has none or it is switched off."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GIVE_VERSION)))


def _leave_network() -> bool:
    """Move to an empty network namespace: as root at once, else in a user namespace with the same ids."""
    libc = _libc()
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    with contextlib.suppress(OSError):  # without them only the names of the ids are lost
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def _drop_capabilities() -> None:
    """Keep of root's powers, ours or those of the new namespace, only reading files that others may not."""
    libc = _libc()
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    # effective, permitted and inheritable, for the lower and the upper 32 of them
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets) == 0:
        permitted = struct.unpack_from("=I", sets, 4)[0] & _CAPABILITIES
        libc.capset(header, struct.pack("=6I", permitted, permitted, 0, 0, 0, 0))


def _restrict(version: int, writable: Sequence[Path]) -> bool:
    libc = _libc()
    rights = _CHANGES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    # struct landlock_ruleset_attr grew by a field with versions 4 and 6
    attributes = struct.pack("=Q", rights)
    if version >= 4:
        attributes += struct.pack("=Q", _TCP)
    if version >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        for path in writable:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
            allowed = rights & (~_NEVER if path.is_dir() else _OF_FILES)
            rule = struct.pack("=Qi", allowed, opened)
            failed = libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
            os.close(opened)
            if failed:
                return False
        no_privileges = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(no_privileges == 0 and libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)
