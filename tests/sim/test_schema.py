"""Our schema against Linear's: all that we have exists there with the same type."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    extend_schema,
    parse,
    validate,
)

from dragoman.sim.graphql import SCHEMA_TEXT

# What Linear offers and we have no part in.
NOT_OURS = {"attpr", "rc"}


@cache
def linear(folder: Path) -> GraphQLSchema:
    whole = build_schema((folder / "linear/schema.graphql").read_text("utf-8"), assume_valid=True)
    return extend_schema(whole, parse((folder / "linear/sdk-98-agent-delta.graphql").read_text("utf-8")))


def differences(ours: GraphQLSchema, theirs: GraphQLSchema) -> list[str]:
    found = []
    for name, mine in ours.type_map.items():
        if name.startswith("__"):
            continue
        other = theirs.type_map.get(name)
        if type(other) is not type(mine):
            found.append(f"{name} is no {type(mine).__name__} of theirs")
        elif isinstance(mine, (GraphQLObjectType, GraphQLInterfaceType)) and isinstance(other, type(mine)):
            for field, ours_is in mine.fields.items():
                theirs_is = other.fields.get(field)
                if theirs_is is None or str(theirs_is.type) != str(ours_is.type):
                    found.append(f"{name}.{field}: {ours_is.type}, theirs {theirs_is and theirs_is.type}")
                    continue
                for argument, taken in ours_is.args.items():
                    known = theirs_is.args.get(argument)
                    if known is None or str(known.type) != str(taken.type):
                        found.append(f"{name}.{field}({argument}: {taken.type})")
                required = {a for a, t in theirs_is.args.items() if str(t.type).endswith("!")} - set(ours_is.args)
                found += [f"{name}.{field} needs {argument}" for argument in required]
        elif isinstance(mine, GraphQLInputObjectType) and isinstance(other, GraphQLInputObjectType):
            for field, wanted in mine.fields.items():
                if field not in other.fields or str(other.fields[field].type) != str(wanted.type):
                    found.append(f"input {name}.{field}: {wanted.type}")
            required = {f for f, t in other.fields.items() if str(t.type).endswith("!")} - set(mine.fields)
            found += [f"input {name} needs {field}" for field in required]
        elif isinstance(mine, GraphQLEnumType) and isinstance(other, GraphQLEnumType):
            found += [f"{name}.{value}" for value in set(mine.values) - set(other.values)]
        elif isinstance(mine, GraphQLUnionType) and isinstance(other, GraphQLUnionType):
            found += [f"{name} = {m.name}" for m in mine.types if m.name not in {o.name for o in other.types}]
    return found


@pytest.mark.needs_shared
def test_every_type_field_argument_and_value_exists_in_linears_schema(shared: Path) -> None:
    assert differences(build_schema(SCHEMA_TEXT), linear(shared)) == []


@pytest.mark.needs_shared
def test_the_comparison_sees_an_invention(shared: Path) -> None:
    invented = "extend type Issue { mood: String } extend input IssueUpdateInput { mood: String }"
    ours = extend_schema(build_schema(SCHEMA_TEXT), parse(invented))
    assert len(differences(ours, linear(shared))) == 2


@pytest.mark.needs_shared
def test_the_validated_documents_validate_against_ours(shared: Path) -> None:
    documents = json.loads((shared / "linear/validated-operations.json").read_text("utf-8"))
    ours = build_schema(SCHEMA_TEXT)
    for name in documents.keys() - NOT_OURS:
        assert validate(ours, parse(documents[name])) == [], name
