"""The GraphQL face: bytes in, status, headers and bytes out.

Every distinct document text is parsed and validated once; each request is executed. Nothing is special-cased: the
mutation that a busy agent sends hundreds of times a second goes the way of all others.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
    parse,
    validate,
)

from dragoman.record import Record
from dragoman.sim.agent import Agent
from dragoman.sim.quota import POINTS_PER_QUERY, Quota, complexity
from dragoman.sim.refusals import Refused, as_reply, not_authenticated, rate_limited
from dragoman.sim.resolvers import Asked, content_type, install
from dragoman.sim.store import Store
from dragoman.sim.tokens import Tokens
from dragoman.sim.world import World

SCHEMA_TEXT = (Path(__file__).parent / "schema.graphql").read_text("utf-8")
_KEPT_DOCUMENTS = 256
_JSON = ("content-type", "application/json; charset=utf-8")


class Reply(Record):
    """An HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (_JSON,)


class Question(Record, tag=False):
    """The JSON of a GraphQL request."""

    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None


class _Prepared(Record):
    """A document that was parsed and validated; `points` is None when they depend on the variables."""

    operation: str
    document: DocumentNode | None
    errors: tuple[dict[str, Any], ...] = ()
    points: int | None = None


@cache
def _schema() -> GraphQLSchema:
    """Our part of Linear's schema with its resolvers; they find their world in the context, so one serves all."""
    schema = build_schema(SCHEMA_TEXT)
    install(schema)
    return schema


class GraphQL:
    """Executes documents against a world on behalf of the agent's app."""

    def __init__(self, world: World, agent: Agent, tokens: Tokens, quota: Quota, store: Store) -> None:
        self._schema = _schema()
        self._tokens = tokens
        self._quota = quota
        self._asked = Asked(world=world, agent=agent, quota=quota, store=store)
        self._prepared: OrderedDict[str, _Prepared] = OrderedDict()
        self._decode = msgspec.json.Decoder(Question).decode
        self.requests: dict[str, int] = {}  # top-level field -> how often it was asked for
        self.refusals: list[str] = []  # what was said no to, in Linear's words, oldest first

    def operation(self, body: bytes) -> str:
        """The first top-level field of a request ("agentActivityCreate"), or "" when it cannot be read."""
        try:
            return self._prepare(self._decode(body).query).operation
        except (msgspec.DecodeError, RecursionError):
            return ""

    def answer(self, authorization: str | None, body: bytes) -> Reply:
        """Answer one POST.

        authorization  the header: "Bearer <token>"
        """
        reply = self._answer(authorization, body)
        if reply.status != 200 or b'"errors":' in reply.body:
            self.refusals.append(reply.body.decode())
        return reply

    def _answer(self, authorization: str | None, body: bytes) -> Reply:
        if not self._tokens.accepts(authorization):
            return _reply(401, as_reply(not_authenticated()))
        try:
            question = self._decode(body)
        except (msgspec.DecodeError, RecursionError):
            return _reply(400, _invalid("The request is no GraphQL request in JSON."))
        prepared = self._prepare(question.query)
        if prepared.document is None or prepared.errors:
            return _reply(400, {"errors": list(prepared.errors)}, self._quota.headers())
        points = prepared.points
        if points is None:
            points = complexity(prepared.document, question.variables)
        if points > POINTS_PER_QUERY:
            return _reply(400, _invalid("Query too complex"), self._quota.headers(points))
        if not self._quota.take(points):
            return _reply(400, as_reply(rate_limited(self._quota.requests.limit)), self._quota.headers(points))
        self.requests[prepared.operation] = self.requests.get(prepared.operation, 0) + 1
        result = execute_sync(
            self._schema,
            prepared.document,
            context_value=self._asked,
            variable_values=question.variables,
            operation_name=question.operationName,
            type_resolver=content_type,
        )
        errors = result.errors or []
        for error in errors:
            if not isinstance(error.original_error, (Refused, GraphQLError, NoneType)):
                raise error.original_error  # a bug of ours must not pass for an answer of Linear's
        if errors and all(error.path is None for error in errors):  # variables do not fit: nothing was executed
            return _reply(400, {"errors": [_documented(error) for error in errors]}, self._quota.headers(points))
        shown: dict[str, Any] = {"data": result.data}
        if errors:
            shown["errors"] = [error.formatted for error in errors]
        return _reply(200, shown, self._quota.headers(points))

    def _prepare(self, text: str) -> _Prepared:
        prepared = self._prepared.get(text)
        if prepared is None:
            prepared = self._check(text)
            self._prepared[text] = prepared
            if len(self._prepared) > _KEPT_DOCUMENTS:
                self._prepared.popitem(last=False)
        return prepared

    def _check(self, text: str) -> _Prepared:
        try:
            document = parse(text)
        except GraphQLError as error:
            return _Prepared(operation="", document=None, errors=(_documented(error),))
        errors = tuple(_documented(error) for error in validate(self._schema, document))
        operation = ""
        for definition in document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                first = definition.selection_set.selections[0]
                operation = getattr(getattr(first, "name", None), "value", "")
                break
        fixed = "first:$" not in text.replace(" ", "")
        return _Prepared(
            operation=operation, document=document, errors=errors, points=complexity(document, None) if fixed else None
        )


def _documented(error: GraphQLError) -> dict[str, Any]:
    extensions = {"type": "graphql error", "code": "GRAPHQL_VALIDATION_FAILED", "statusCode": 400, "userError": True}
    return {**error.formatted, "extensions": extensions}


def _invalid(message: str) -> dict[str, Any]:
    extensions = {"type": "invalid input", "code": "INPUT_ERROR", "statusCode": 400, "userError": True}
    return {"errors": [{"message": message, "extensions": extensions}]}


def _reply(status: int, body: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=status, body=msgspec.json.encode(body), headers=(_JSON, *(headers or {}).items()))
