"""Prints how pip calls the keyring command on Windows: pip's and Python's own code, on a folder with keyring.EXE in the PATH."""

import os
import shutil
import subprocess
import sys
import tempfile
from types import SimpleNamespace
from unittest import mock

from pip._internal.network import auth

calls = []


def run(command, **_):
    calls.append(command)
    return SimpleNamespace(returncode=0, stdout=b"token\r\n")


with tempfile.TemporaryDirectory() as folder:
    program = os.path.join(folder, "keyring.EXE")  # Windows finds keyring.exe by this name; here the case counts
    with open(program, "w"):
        os.chmod(program, 0o700)
    shutil._winapi = SimpleNamespace(NeedCurrentDirectoryForExePath=lambda _: True)  # Python 3.12
    windows = {"PATH": folder, "PATHEXT": ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC"}  # those of a new Windows
    with mock.patch.dict(os.environ, windows), mock.patch.object(os, "pathsep", ";"), mock.patch.object(sys, "platform", "win32"), \
            mock.patch.object(subprocess, "run", run):
        found = auth.get_keyring_provider("subprocess")
    assert found.keyring == program, found.keyring
    with mock.patch.object(subprocess, "run", run):
        found.get_auth_info("https://git.acme.dev/simple/", "clerk")
print(*[os.path.basename(word) if word == program else word for word in calls[0]])
