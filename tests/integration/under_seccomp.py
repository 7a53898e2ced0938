"""Starts a program under a seccomp filter, as a container runtime or systemd would:

    under_seccomp.py [--without CALL]... (--profile FILE.json | --unit FILE.service) COMMAND...

A profile is in the runtimes' JSON; of a unit its SystemCallFilter lines are taken, with the groups
as systemd-analyze lists them. The filter is made by libseccomp, which systemd itself needs."""

import argparse
import ctypes
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ALLOW = 0x7FFF0000
COMPARE = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4,
           "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}
NO_SUCH_CALL = -1


def machine():
    return os.uname().machine


class Argument(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


def library():
    """libseccomp, or None where it is not installed."""
    try:
        lib = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                           ctypes.c_uint, ctypes.POINTER(Argument)]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    return lib


def number_of(action, errno_ret):
    return ALLOW if action == "SCMP_ACT_ALLOW" else 0x00050000 | errno_ret


def rules_of_profile(path):
    """(default action, [(call, action, [arguments])]) of a runtime's JSON."""
    profile = json.loads(Path(path).read_text())
    base = profile.get("defaultErrnoRet", errno.EPERM)
    rules = []
    for rule in profile["syscalls"]:
        action = number_of(rule["action"], rule.get("errnoRet", base))
        arguments = [Argument(one["index"], COMPARE[one["op"]], one["value"],
                              one.get("valueTwo", 0)) for one in rule.get("args", [])]
        rules += [(name, action, arguments) for name in rule["names"]]
    return number_of(profile["defaultAction"], base), rules


def group(name, known={}):
    """The calls of one of systemd's groups, those of the groups in it too."""
    if name not in known:
        listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, text=True,
                                capture_output=True, env={**os.environ, "SYSTEMD_COLORS": "0"})
        known[name] = set()
        for word in re.findall(r"^\s+([@\w-]+)$", listed.stdout, re.MULTILINE):
            known[name] |= group(word) if word.startswith("@") else {word}
    return known[name]


def calls_of_unit(text):
    """The calls that a unit allows, as systemd reads its SystemCallFilter lines one by one."""
    allowed = set(group("@default"))
    for line in re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE):
        takes_away = line.startswith("~")
        for word in line.lstrip("~").split():
            calls = group(word) if word.startswith("@") else {word}
            allowed = allowed - calls if takes_away else allowed | calls
    return allowed


def rules_of_unit(path):
    calls = calls_of_unit(Path(path).read_text())
    return number_of("", errno.EPERM), [(name, ALLOW, []) for name in sorted(calls)]


def load(default, rules):
    lib = library()
    context = lib.seccomp_init(default)
    for name, action, arguments in rules:
        call = lib.seccomp_syscall_resolve_name(name.encode())
        if call == NO_SUCH_CALL or action == default:
            continue
        array = (Argument * max(len(arguments), 1))(*arguments)
        code = lib.seccomp_rule_add_array(context, action, call, len(arguments), array)
        if code != 0 and call >= 0:
            sys.exit(f"under_seccomp: {name}: {os.strerror(-code)}")
    code = lib.seccomp_load(context)
    if code != 0:
        sys.exit(f"under_seccomp: the filter was refused: {os.strerror(-code)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--profile")
    what.add_argument("--unit")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    default, rules = (rules_of_profile(options.profile) if options.profile
                      else rules_of_unit(options.unit))
    load(default, [rule for rule in rules if rule[0] not in options.without])
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main()
