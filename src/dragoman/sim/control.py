"""The control API, for tests and tools that run the simulator in another process. JSON in, JSON out.

GET  /control/state                       everything there is, with its `version`
GET  /control/wait?version=N&timeout_s=S  the same once the version is above N, or after S seconds (30 at most)
POST /control/people   {"do": "mention", "args": {"issue": "ENG-1", "text": "…", "by": "alice"}}   see `People`
POST /control/faults   {"order": [{"kind": "server_error", "times": 2}]} or {"clear": true}         see `Fault`
POST /control/hooks    {"url", "time_scale", "mischief": {…}, "next": [{…}], "release": "as they came" | "reversed",
                        "resend": "<delivery id>", "copies": 1}                                     see `Mischief`
POST /control/model    {"default", "story": {…}, "release": "<gate>"}                               see `Story`
POST /control/tokens   {"revoke": true, "admit": "<token>", "lifetime_s": 60}

Every answer to a POST is {"result": …, "version": N}; what cannot be done is 400 {"problem": "…"}.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dragoman.sim.faults import Fault
from dragoman.sim.hooks import Mischief
from dragoman.sim.parts import Parts
from dragoman.sim.records import Person
from dragoman.sim.script import Story

_LONGEST_WAIT_S = 30.0
_ACTIONS = frozenset(
    {
        "create_issue",
        "edit_issue",
        "set_state",
        "comment",
        "mention",
        "delegate",
        "automate",
        "unassign",
        "follow_up",
        "answer",
        "stop",
        "delete_session",
        "change_team_access",
        "uninstall",
    }
)


def control_routes(simulator: Parts) -> list[Route]:
    """The routes of the control API."""
    control = _Control(simulator)
    orders: dict[str, Callable[[dict[str, Any]], object]] = {
        "people": control.people,
        "faults": control.faults,
        "hooks": control.hooks,
        "model": control.model,
        "tokens": control.tokens,
    }
    routes = [Route(f"/control/{name}", _posted(simulator, act), methods=["POST"]) for name, act in orders.items()]
    return [
        Route("/control/state", control.state, methods=["GET"]),
        Route("/control/wait", control.wait, methods=["GET"]),
        *routes,
    ]


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _posted(simulator: Parts, act: Callable[[dict[str, Any]], object]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            order = msgspec.json.decode(await request.body(), type=dict[str, Any])
            result = act(order)
        except (msgspec.DecodeError, LookupError, TypeError, ValueError) as problem:
            return _json({"problem": f"{type(problem).__name__}: {problem}"}, 400)
        return _json({"result": msgspec.to_builtins(result), "version": simulator.world.version})

    return endpoint


class _Control:
    def __init__(self, simulator: Parts) -> None:
        self._simulator = simulator

    async def state(self, request: Request) -> Response:
        return _json(self._snapshot())

    async def wait(self, request: Request) -> Response:
        try:
            version = int(request.query_params.get("version", "0"))
            timeout_s = min(float(request.query_params.get("timeout_s", "30")), _LONGEST_WAIT_S)
        except ValueError as problem:
            return _json({"problem": str(problem)}, 400)
        with contextlib.suppress(TimeoutError):  # nothing has changed: the caller sees the same version and asks again
            await self._simulator.wait_for(lambda world: world.version > version, timeout_s)
        return _json(self._snapshot())

    def people(self, order: dict[str, Any]) -> object:
        if order["do"] not in _ACTIONS:
            raise LookupError(f"people do not {order['do']}; they can {', '.join(sorted(_ACTIONS))}")
        args = dict(order.get("args") or {})
        if args.get("by") is not None:
            args["by"] = self._person(args["by"])
        return getattr(self._simulator.people, order["do"])(**args)

    def faults(self, order: dict[str, Any]) -> object:
        if order.get("clear"):
            self._simulator.faults.clear()
        self._simulator.faults.order(*msgspec.convert(order.get("order", []), list[Fault]))
        return self._simulator.faults.hits

    def hooks(self, order: dict[str, Any]) -> object:
        hooks = self._simulator.hooks
        if "url" in order:
            hooks.url = order["url"]
        if "time_scale" in order:
            hooks.time_scale = float(order["time_scale"])
        if "mischief" in order:
            hooks.mischief = msgspec.convert(order["mischief"], Mischief)
        hooks.next(*msgspec.convert(order.get("next", []), list[Mischief]))
        if "release" in order:
            backwards = order["release"] == "reversed"
            hooks.release((lambda held: held[::-1]) if backwards else None)
        if "resend" in order:
            found = [delivery for delivery in hooks.deliveries if delivery.id == order["resend"]]
            hooks.resend(found[0], copies=int(order.get("copies", 1)))
        return None

    def model(self, order: dict[str, Any]) -> object:
        model = self._simulator.model
        if "default" in order:
            model.default = str(order["default"])
        if "story" in order:
            story = msgspec.convert(order["story"], Story)
            model.stories[story.name] = story
        if "release" in order:
            model.release(str(order["release"]))
        return sorted(model.stories)

    def tokens(self, order: dict[str, Any]) -> object:
        tokens = self._simulator.tokens
        if order.get("revoke"):
            tokens.revoke_all()
        if "admit" in order:
            tokens.admit(str(order["admit"]))
        if "lifetime_s" in order:
            tokens.lifetime_s = float(order["lifetime_s"])
        return tokens.granted

    def _person(self, wanted: str) -> Person:
        for person in self._simulator.world.people.values():
            if wanted in (person.id, person.name, person.handle):
                return person
        raise LookupError(f"there is no {wanted}")

    def _snapshot(self) -> dict[str, Any]:
        simulator = self._simulator
        world = simulator.world
        return {
            "version": world.version,
            "organization": {"id": world.organization_id, "oauthClientId": world.oauth_client_id},
            "people": list(world.people.values()),
            "states": world.states,
            "issues": list(world.issues.values()),
            "comments": list(world.comments.values()),
            "attachments": list(world.attachments.values()),
            "sessions": [
                msgspec.to_builtins(session)
                | {
                    "status": world.status(session),
                    "unresponsive": world.unresponsive(session),
                    "activities": world.activities(session.id, vanished=True),
                }
                for session in world.sessions.values()
            ],
            "deliveries": [
                {"id": d.id, "event": d.event, "state": d.state, "attempts": d.attempts, "body": d.body}
                for d in simulator.hooks.deliveries
            ],
            "faults": simulator.faults.hits,
            "requests": simulator.graphql.requests,
            "model": list(simulator.model.requests),
        }
