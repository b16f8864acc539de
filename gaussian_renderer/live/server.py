"""The web server of the live viewer: viser's, on this machine's own address alone."""

from __future__ import annotations

import contextlib
import getpass
import importlib
import io
import socket
from typing import Any

from utils.errors import UserError

HOST = "127.0.0.1"  # nobody else on the network can connect


def require_viser() -> Any:
    """The module. UserError, with the command that installs it, where it is missing."""
    try:
        return importlib.import_module("viser")
    except ImportError as error:
        raise UserError(f'the live viewer needs viser ({error}); install it by pip install "viser>=1.1.1"') from None


def start_server() -> Any:
    """A viser server on a port that is free."""
    viser = require_viser()
    with contextlib.redirect_stdout(io.StringIO()):  # a banner, even without `verbose`
        return viser.ViserServer(host=HOST, port=free_port(), verbose=False)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def address_text(port: int) -> str:
    """Where to look, here and from another machine."""
    try:
        user = getpass.getuser() + "@"
    except (OSError, KeyError, ImportError):  # a user without a name
        user = ""
    return (
        f"Viewer: http://{HOST}:{port} on this machine; from another one after "
        f"ssh -L {port}:{HOST}:{port} {user}{socket.gethostname()}"
    )
