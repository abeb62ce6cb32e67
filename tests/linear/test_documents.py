from importlib.resources import files
from pathlib import Path

import pytest
from graphql import build_schema, extend_schema, parse, validate
from graphql.type import GraphQLSchema

NAMES = sorted(
    entry.name.removesuffix(".graphql") for entry in files("dragoman.linear").joinpath("documents").iterdir()
)


@pytest.fixture(scope="module")
def schema(shared: Path) -> GraphQLSchema:
    published = build_schema((shared / "linear/schema.graphql").read_text(encoding="utf-8"), assume_valid=True)
    added = parse((shared / "linear/sdk-98-agent-delta.graphql").read_text(encoding="utf-8"))
    return extend_schema(published, added, assume_valid=True)


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", NAMES)
def test_every_document_is_valid_in_linears_published_schema(name: str, schema: GraphQLSchema) -> None:
    text = files("dragoman.linear").joinpath("documents", f"{name}.graphql").read_text(encoding="utf-8")
    document = parse(text)
    assert validate(schema, document) == []
    [operation] = document.definitions
    assert operation.to_dict()["name"]["value"] == name


def test_the_documents_are_in_the_package() -> None:
    assert {"ActivityCreate", "SessionUpdate", "Issue", "TeamStartedStates", "IssueUpdate", "Viewer"} <= set(NAMES)
    assert {"SessionActivitiesSince", "AgentSessions"} <= set(NAMES)
