"""A stand-in for viser's server, with one browser that looks and moves as a test wants: viser is an extra."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np


class ServerDouble(MagicMock):
    """Records what is shown. `controls` are the GUI's elements by label, `client` is the browser."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.controls: dict[str, Any] = {}
        self.stopped = False
        for kind in ("dropdown", "slider", "checkbox", "button"):
            getattr(self.gui, f"add_{kind}").side_effect = self._control
        self.get_port.return_value = 4242
        self.on_client_connect.side_effect = lambda callback: setattr(self, "_welcome", callback)
        self.on_client_disconnect.side_effect = lambda callback: setattr(self, "_forget", callback)

    def _get_child_mock(self, **named: Any) -> MagicMock:
        return MagicMock(**named)

    def _control(self, label: str, *values: Any, **named: Any) -> SimpleNamespace:
        value = named.get("initial_value", values[0] if values else None)
        control = SimpleNamespace(value=value, label=label, callbacks=[])
        control.on_update = control.on_click = control.callbacks.append
        self.controls[label] = control
        return control

    def use(self, label: str, value: Any = None) -> None:
        """Press a button, or give a control another value."""
        control = self.controls[label]
        control.value = value
        for callback in control.callbacks:
            callback(None)

    def connect(self, position: tuple[float, float, float] = (0.0, 0.0, -5.0)) -> MagicMock:
        """A browser of 64 × 48 pixels that looks along z."""
        client = MagicMock(client_id=1)
        camera = client.camera
        camera.image_width, camera.image_height, camera.fov = 64, 48, 0.9
        camera.position, camera.wxyz = np.array(position), np.array([1.0, 0.0, 0.0, 0.0])
        self._welcome(client)
        return client

    def move(self, client: MagicMock, position: tuple[float, float, float]) -> None:
        """The browser's camera goes elsewhere."""
        client.camera.position = np.array(position)
        client.camera.on_update.call_args.args[0](client.camera)

    def leave(self, client: MagicMock) -> None:
        """The browser is closed."""
        self._forget(client)
