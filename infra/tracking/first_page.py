"""The first page of MLflow's UI, where it is served by `lagrange ui`: a browser that was never here sees training.

Such a browser would land on MLflow's pages for language models, with an assistant's panel open over a quarter of the page, and with a
window of news over the registry of models. MLflow keeps these choices in the browser. So the page sets them, where the browser has none of
its own yet. Nothing else is changed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

_FIRST: Final = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "_mlflow_model_registry_promo_modal_dismissed_v1": True,
}
_SCRIPT: Final = "".join(
    f"localStorage.getItem({json.dumps(key)})===null&&localStorage.setItem({json.dumps(key)},{json.dumps(json.dumps(value))});"
    for key, value in _FIRST.items()
)
_HEAD: Final = b"<head>"
Message = MutableMapping[str, Any]


class FirstPage:
    """An ASGI app: another one, with a script in the head of the page at `/`."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def held(message: Message) -> None:
            """Keep the page until it is whole, for its length changes."""
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                page = bytes(body).replace(_HEAD, _HEAD + f"<script>{_SCRIPT}</script>".encode(), 1)
                headers = [(name, value) for name, value in start["headers"] if name.lower() not in (b"content-length", b"etag")]
                await send({**start, "headers": [*headers, (b"content-length", str(len(page)).encode())]})
                await send({"type": "http.response.body", "body": page})

        plain = [
            (name, value) for name, value in scope["headers"] if name.lower() not in (b"if-none-match", b"if-modified-since", b"range")
        ]
        await self._app({**scope, "headers": plain}, receive, held)
