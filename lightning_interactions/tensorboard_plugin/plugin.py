"""The server's side of the Interactions tab: a TensorBoard plugin that hands event data to one static page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.plugins.base_plugin import FrontendMetadata, TBPlugin

from lightning_interactions.tensorboard_plugin.documents import PLUGIN_NAME, tag_prefix
from lightning_interactions.tensorboard_plugin.runs import list_runs, read_effects, read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["InteractionsPlugin"]

_STATIC = Path(__file__).parent / "static"
_FILES = {"index.js": "application/javascript", "style.css": "text/css"}
_EPOCH = re.compile(r"[0-9]{1,9}")


class InteractionsPlugin(TBPlugin):
    """The Interactions tab; TensorBoard finds it by the package's entry point.

    Routes, under ``data/plugin/interactions``:

    - ``/runs``: the runs with measurements, see :func:`~lightning_interactions.tensorboard_plugin.runs.list_runs`;
    - ``/data?run=…&prefix=…``: one run, see :func:`~lightning_interactions.tensorboard_plugin.runs.read_run`;
    - ``/effects?run=…&prefix=…&epoch=…``: the effects of its samples at one epoch, see
      :func:`~lightning_interactions.tensorboard_plugin.runs.read_effects`;
    - ``/static/index.js`` and ``/static/style.css``: the page.

    Missing or senseless parameters are answered by 400, unknown runs and epochs by 404.

    Args:
        context: what TensorBoard gives every plugin.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context: Any) -> None:
        self._provider = context.data_provider

    def get_plugin_apps(self) -> dict[str, Callable[[dict[str, Any], Any], Iterable[bytes]]]:
        """What answers each route."""
        answers = {"/runs": self._runs, "/data": self._data, "/effects": self._effects}
        return {route: _application(answer) for route, answer in (answers | _files()).items()}

    def is_active(self) -> bool:
        """Never by itself: TensorBoard shows the tab when there is data of this plugin."""
        return False

    def frontend_metadata(self) -> FrontendMetadata:
        """How the tab is shown."""
        return FrontendMetadata(tab_name="Interactions", es_module_path="/static/index.js")

    def _runs(self, request: Any) -> Any:
        if self._provider is None:
            return _json(request, {"runs": []})
        return _json(request, {"runs": list_runs(self._provider, *_where(request))})

    def _data(self, request: Any) -> Any:
        run = request.args.get("run")
        if run is None:
            return _json(request, {"error": "The address must say which run: /data?run=…"}, code=400)
        found = self._provider and read_run(self._provider, *_where(request), run, _prefix(request))
        if not found:
            return _json(request, {"error": "There is no such run with measurements of interactions."}, code=404)
        return _json(request, found)

    def _effects(self, request: Any) -> Any:
        run, epoch = request.args.get("run"), request.args.get("epoch", "")
        if run is None or _EPOCH.fullmatch(epoch) is None:
            message = "The address must say which run and epoch: /effects?run=…&epoch=…"
            return _json(request, {"error": message}, code=400)
        found = self._provider and read_effects(self._provider, *_where(request), run, _prefix(request), int(epoch))
        if found is None:
            return _json(request, {"error": "There are no interactions of single samples at this epoch."}, code=404)
        return _json(request, {"strongest": found})


def _application(answer: Callable[[Any], Any]) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """A WSGI application from a function of a request."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        from werkzeug.wrappers import Request  # noqa: PLC0415  # slow to import, and needed only by a server

        return answer(Request(environ))(environ, start_response)

    return application


def _files() -> dict[str, Callable[[Any], Any]]:
    """Answers with the page's own files; no part of a path comes from the request."""

    def answer_with(path: Path, content_type: str) -> Callable[[Any], Any]:
        return lambda request: _respond(request, path.read_bytes(), content_type)

    return {f"/static/{name}": answer_with(_STATIC / name, content_type) for name, content_type in _FILES.items()}


def _prefix(request: Any) -> str:
    return request.args.get("prefix", tag_prefix())


def _where(request: Any) -> tuple[Any, str]:
    """TensorBoard's context and experiment of a request."""
    from tensorboard import plugin_util  # noqa: PLC0415  # imports a Markdown renderer

    return plugin_util.context(request.environ), plugin_util.experiment_id(request.environ)


def _json(request: Any, content: dict[str, Any], code: int = 200) -> Any:
    # Serialised here: TensorBoard's own way walks through all of it again in search of NaN.
    return _respond(request, json.dumps(content, allow_nan=False, separators=(",", ":")), "application/json", code)


def _respond(request: Any, content: bytes | str, content_type: str, code: int = 200) -> Any:
    from tensorboard.backend import http_util  # noqa: PLC0415  # imports werkzeug

    return http_util.Respond(request, content, content_type, code=code)
