"""The table of routes and the page made from it."""

import pytest

from nim.cli.output.route_reference import describe_routes
from nim.errors import SettingsError
from nim.routes import (
    CAN_BE_OPENED,
    OPEN_BY_DEFAULT,
    ROUTES,
    Group,
    let_through,
    open_instead,
    open_routes,
)


def test_no_route_is_in_the_table_twice() -> None:
    rows = [(method, route.path) for route in ROUTES for method in route.methods]
    assert len(rows) == len(set(rows))


def test_a_path_is_in_one_group_only() -> None:
    groups: dict[str, set[Group]] = {}
    for route in ROUTES:
        groups.setdefault(route.path, set()).add(route.group)
    assert [path for path, found in groups.items() if len(found) > 1] == []


def test_what_is_open_by_default_can_be_opened_and_hidden_cannot() -> None:
    assert set(OPEN_BY_DEFAULT) < set(CAN_BE_OPENED) == set(Group) - {Group.HIDDEN, Group.AGENT}
    with pytest.raises(SettingsError, match="hidden"):
        open_routes(["hidden"])


def test_let_through_follows_the_groups() -> None:
    assert let_through("/v1/responses/{response_id}", ["inference"])
    assert not let_through("/v1/load_lora_adapter", ["inference"])
    assert let_through("/v1/load_lora_adapter", ["inference", "adapters"])
    assert not let_through("/nowhere", ["inference"])


def test_paths_of_other_servers_lead_to_open_routes() -> None:
    found = open_instead(OPEN_BY_DEFAULT)
    assert found["/health"] == "/v1/health/ready"
    assert found["/chat/completions"] == found["/v1/v1/chat/completions"] == "/v1/chat/completions"
    opened = {route.path for route in open_routes(OPEN_BY_DEFAULT)}
    assert not opened & set(found)
    assert opened >= set(found.values())
    assert "/score" not in found  # a route itself
    assert open_instead([]) == {path: to for path, to in found.items() if to.startswith("/v1/health/")}


def test_the_page_has_every_route_and_says_why_one_is_hidden() -> None:
    page = describe_routes()
    for route in ROUTES:
        assert f"| `{route.path}` |" in page
        assert route.note or route.group is not Group.HIDDEN, route.path
    assert "Open by default." in page
    assert "Always open." in page
