import pytest

from dragoman.errors import ConfigurationError
from dragoman.repositories.configured import Repository, choose_default, problems_of

SHOP = Repository(name="acme/shop", url="/srv/shop")
SITE = Repository(name="acme/site", url="https://token@git.example.org/acme/site.git")
MAIN = Repository(name="acme/main", url="git@git.example.org:acme/main.git", default=True)


def test_a_single_repository_is_the_default() -> None:
    assert choose_default([SHOP]) is SHOP


def test_the_marked_one_of_several_is_the_default() -> None:
    assert choose_default([SHOP, MAIN, SITE]) is MAIN


@pytest.mark.parametrize(
    "repositories, says",
    [
        ([], "Add \\[\\[repositories\\]\\]"),
        ([SHOP, SITE], "acme/shop, acme/site.*Set default = true"),
        ([MAIN, Repository(name="acme/b", url="/b", default=True), SHOP], "acme/main, acme/b.*Leave it at one"),
    ],
)
def test_without_one_default_the_operator_is_told_what_to_do(repositories: list[Repository], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        choose_default(repositories)


def test_good_repositories_have_no_problems() -> None:
    assert problems_of([SHOP, SITE, MAIN]) == []


def test_all_problems_are_told_at_once_and_none_shows_a_credential() -> None:
    problems = problems_of(
        [
            SHOP,
            Repository(name="acme/shop", url="-x"),
            Repository(name=" ", url="ext::sh -c id"),
            Repository(name="a", url="ssh://git:hunter2@git.example.org/a", base_branch="-x", default=True),
            Repository(name="b", url="gopher://u:hunter2@git.example.org:port/", default=True),
        ]
    )
    assert len(problems) == 8
    assert "hunter2" not in "".join(problems)


def test_a_repository_does_not_show_its_credential() -> None:
    assert "token" not in repr(SITE)
    assert "git.example.org" in repr(SITE)
