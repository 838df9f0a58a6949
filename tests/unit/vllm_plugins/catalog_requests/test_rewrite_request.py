"""The rewriting functions, case by case; the numbers are those of the list of cases, B1 to B35."""

import time
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from nim.vllm_plugins.catalog_requests.find_media_tags import parts_of
from nim.vllm_plugins.catalog_requests.launcher_settings import Rules
from nim.vllm_plugins.catalog_requests.refused_request import Refused
from nim.vllm_plugins.catalog_requests.resolve_asset_references import finder
from nim.vllm_plugins.catalog_requests.rewrite_request import rewrite

URL, DATA = "https://h/a.png", "data:audio/wav;base64,AAAA"
HEADER = b"nvcf-input-asset-references"


def image(url: str = URL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


def rewritten(
    body: dict[str, Any], rules: Rules | None = None, *headers: tuple[bytes, bytes]
) -> dict[str, Any]:
    """Return the rewritten request; one that is said to be unchanged must be."""
    rules, before = rules or Rules(), deepcopy(body)
    changed = rewrite(body, rules, finder(headers, rules))
    assert changed == (body != before)
    return body


def content(said: Any, rules: Rules | None = None, *headers: tuple[bytes, bytes]) -> Any:
    return rewritten(user(said), rules, *headers)["messages"][0]["content"]


def refused(body: dict[str, Any], rules: Rules | None = None, *headers: tuple[bytes, bytes]) -> Refused:
    rules = rules or Rules()
    with pytest.raises(Refused) as error:
        rewrite(body, rules, finder(headers, rules))
    return error.value


# tags


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        (f'What is this? <img src="{URL}" />', [text("What is this? "), image()]),  # B2
        (f'<img src="{URL}" />What?', [image(), text("What?")]),  # B3
        (
            f'<img src="{URL}"/> and <img src="{URL}?b"/>',
            [image(), text(" and "), image(f"{URL}?b")],
        ),
        (f'<audio src="{DATA}" />', [{"type": "audio_url", "audio_url": {"url": DATA}}]),  # B4
        (
            f'<img src="{URL}"><audio src="{DATA}">',
            [image(), {"type": "audio_url", "audio_url": {"url": DATA}}],
        ),  # B5
        (f"<IMG  SRC = '{URL}'  >", [image()]),  # B6
        (f'<img alt="a cat" src="{URL}" width="5"/>', [image()]),
        ('<video src="https://h/a.mp4">', [{"type": "video_url", "video_url": {"url": "https://h/a.mp4"}}]),
        ('<img src="https://h/a.png?b=1&amp;c=2">', [image("https://h/a.png?b=1&c=2")]),  # B11
        ('<img src="https://h/a.png?b=&amp;amp;">', [image("https://h/a.png?b=&amp;")]),
        (f'<img <img src="{URL}">', [text("<img "), image()]),
    ],
)
def test_tags_become_parts_in_their_order(said: str, parts: list[dict[str, Any]]) -> None:
    assert content(said) == parts


@pytest.mark.parametrize(
    "said",
    [
        "",
        "plain",  # B1
        f'<img src="{URL}',
        f'<img src="{URL}"',
        f"<img src={URL}>",
        "<img>",
        '<img alt="x">',
        "a <img and b > c",
        '<img src="x">',
        '<img src="file:///etc/passwd">',
        '<img src="javascript:x">',
        f'<imgsrc="{URL}">',
        f'<image src="{URL}">',
        f'&lt;img src="{URL}"&gt;',
    ],
)
def test_what_is_no_tag_stays_text(said: str) -> None:  # B7
    assert content(said) == said


def test_only_texts_of_the_user_are_looked_at() -> None:
    tag = f'<img src="{URL}" />'
    listed = [text(tag)]
    assert content(listed) == [text(tag)]  # B8
    others = [{"role": role, "content": tag} for role in ("system", "assistant")]
    body = {"messages": [*others, *user("x")["messages"]]}
    assert rewritten(deepcopy(body)) == body  # B9
    dialogue = {"messages": [*user(tag)["messages"], *others[1:], *user("and?")["messages"]]}
    messages = rewritten(deepcopy(dialogue))["messages"]
    assert messages[0]["content"] == [image()]  # B10
    assert messages[1:] == dialogue["messages"][1:]


@pytest.mark.parametrize(
    "said",
    [
        '<img src="' + "a" * 1_000_000,
        "<img " * 200_000,
        '<img src="' * 100_000,
        "<img " + 'a="b" ' * 160_000,
        "<img" + " " * 1_000_000,
        "<" * 1_000_000,
        "<img src='" * 100_000,
    ],
    ids=range(7),
)
def test_hostile_texts_take_time_in_proportion_to_their_length(said: str) -> None:  # B12
    def least(text: str) -> float:
        times = []
        for _ in range(5):
            began = time.process_time()
            assert parts_of(text) is None
            times.append(time.process_time() - began)
        return min(times)

    whole, tenth = least(said), least(said[: len(said) // 10])
    assert whole < 40 * max(tenth, 1e-4), "ten times the length, not a hundred times the time"


def test_parts_that_vllm_knows_pass_unchanged() -> None:  # B13
    parts = [
        text("a"),
        image(),
        {"type": "video_url", "video_url": {"url": "https://h/a.mp4"}},
        {"type": "audio_url", "audio_url": {"url": DATA}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    assert content(deepcopy(parts)) == parts


# assets


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Rules, str]:
    """Return rules with a directory of assets, and the id of one in it."""
    asset = str(uuid4())
    (tmp_path / asset).write_bytes(b"a picture")
    return Rules(assets=str(tmp_path), allowed=str(tmp_path)), asset


def reference(asset: str) -> str:
    return f"data:image/png;asset_id,{asset}"


def test_an_asset_becomes_a_file_below_the_allowed_directory(stored: tuple[Rules, str]) -> None:  # B14, B15
    rules, asset = stored
    header = (HEADER, asset.encode())
    expected = [image(f"file://{rules.assets}/{asset}")]
    assert content(f'<img src="{reference(asset)}" />', rules, header) == expected
    assert content([image(reference(asset))], rules, header) == expected
    assert content([image(reference(asset.upper()))], rules, header) == expected
    plain = [{"type": "image_url", "image_url": reference(asset)}]
    assert content(plain, rules, header) == [
        {"type": "image_url", "image_url": f"file://{rules.assets}/{asset}"}
    ]
    sound = content(f'<audio src="data:audio/wav;asset_id,{asset}">', rules, header)
    assert sound == [{"type": "audio_url", "audio_url": {"url": f"file://{rules.assets}/{asset}"}}]


def test_outside_of_it_an_asset_becomes_data(stored: tuple[Rules, str]) -> None:
    rules = Rules(assets=stored[0].assets)
    found = content([image(reference(stored[1]))], rules, (HEADER, stored[1].encode()))
    assert found == [image("data:image/png;base64,YSBwaWN0dXJl")]


def test_an_asset_that_no_header_names_is_refused_unopened(stored: tuple[Rules, str]) -> None:  # B16
    rules, asset = stored
    error = refused(user([image(reference(asset))]), rules)
    assert (error.status, asset in error.message) == (400, True)


def test_a_header_with_an_unknown_asset_is_a_problem(stored: tuple[Rules, str]) -> None:  # B17
    missing = str(uuid4())
    error = refused(user("x"), stored[0], (HEADER, missing.encode()))
    assert (error.status, missing in error.message) == (404, True)
    assert error.body()[1] == b"application/problem+json"


@pytest.mark.parametrize("piece", ["../../secret", "abc", "{%s}", "urn:uuid:%s", "%s/..", "%s\0"])
def test_a_piece_that_is_no_id_reaches_no_file(stored: tuple[Rules, str], piece: str) -> None:  # B18
    rules, asset = stored
    wrong = piece.replace("%s", asset)
    assert refused(user("x"), rules, (HEADER, wrong.encode())).status == 400
    error = refused(user([image(f"data:image/png;asset_id,{wrong}")]), rules, (HEADER, asset.encode()))
    assert error.status == 400


def test_headers_are_joined_and_empty_pieces_left_out(stored: tuple[Rules, str]) -> None:  # B19
    rules, asset = stored
    other = str(uuid4())
    (Path(str(rules.assets)) / other).write_bytes(b"x")
    parts = [image(reference(asset)), image(reference(other))]
    headers = ((HEADER, f" {asset} , ,".encode()), (b"Nvcf-Input-Asset-References", other.encode()))
    assert len(content(parts, rules, *headers)) == 2
    assert content("x", rules, (HEADER, b"")) == "x"


def test_ten_ids_fit_into_the_header_and_eleven_do_not_if_strict(tmp_path: Path) -> None:  # B20
    ids = [str(uuid4()) for _ in range(11)]
    for asset in ids:
        (tmp_path / asset).write_bytes(b"x")
    strict = Rules(assets=str(tmp_path), strict=True)
    ten, eleven = ((HEADER, ",".join(ids[:count]).encode()) for count in (10, 11))
    assert content("x", strict, ten) == "x"
    assert content("x", Rules(assets=str(tmp_path)), eleven) == "x"
    assert refused(user("x"), strict, eleven).status == 422


def test_the_platform_s_headers_count_only_where_they_are_trusted(tmp_path: Path) -> None:  # B21, B22
    asset = str(uuid4())
    (tmp_path / asset).write_bytes(b"x")
    headers = (
        (b"nvcf-asset-dir", str(tmp_path).encode()),
        (b"nvcf-function-asset-ids", asset.encode()),
    )
    assert refused(user([image(reference(asset))]), Rules(), *headers).status == 400
    trusting = Rules(trusts_platform=True)
    assert content([image(reference(asset))], trusting, *headers) == [image("data:image/png;base64,eA==")]


# the budget


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"reasoning_budget": 100}, {"thinking_token_budget": 100}),  # B23
        ({"chat_template_kwargs": {"reasoning_budget": 2}}, {"thinking_token_budget": 2}),  # B24
        (
            {"reasoning_budget": 1, "chat_template_kwargs": {"reasoning_budget": 2}},
            {"thinking_token_budget": 1},
        ),
        (
            {
                "thinking_token_budget": 3,
                "reasoning_budget": 1,
                "chat_template_kwargs": {"reasoning_budget": 2},
            },
            {"thinking_token_budget": 3},
        ),
        ({"reasoning_budget": -1}, {}),  # B25
        ({"reasoning_budget": 0}, {"thinking_token_budget": 0}),  # B26
        ({"reasoning_budget": 32768}, {"thinking_token_budget": 32768}),
        ({"reasoning_budget": None}, {}),
        (
            {"reasoning_budget": 5, "chat_template_kwargs": {"a": 1, "reasoning_budget": 2}},
            {"thinking_token_budget": 5, "chat_template_kwargs": {"a": 1}},
        ),  # B28
    ],
)
def test_the_budget_gets_vllm_s_name(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert rewritten(user("x", **given)) == user("x", **expected)


@pytest.mark.parametrize("budget", [-2, 32769, 1.5, 1.0, True, "10", [1]])
def test_another_budget_is_refused_by_its_name(budget: Any) -> None:  # B26
    for body in (
        user("x", reasoning_budget=budget),
        user("x", chat_template_kwargs={"reasoning_budget": budget}),
    ):
        error = refused(body)
        assert (error.status, error.field) == (422, "reasoning_budget")


def test_the_default_budget_is_for_requests_that_think() -> None:  # B27
    rules = Rules(default_budget=16384)
    assert rewritten(user("x"), rules)["thinking_token_budget"] == 16384
    assert "thinking_token_budget" not in rewritten(user("x"))
    quiet = user("x", chat_template_kwargs={"enable_thinking": False})
    assert rewritten(deepcopy(quiet), rules) == quiet
    for budget in (-1, 7):
        body = rewritten(user("x", reasoning_budget=budget), rules)
        assert body.get("thinking_token_budget") == (None if budget < 0 else budget)


@pytest.mark.parametrize(
    ("system", "thinks"),
    [
        ("/no_think", False),
        ("Be brief. /no_think", False),
        ("/think", True),
        ("/no_think /think", True),
        ("about /no_thinking", None),
        ([{"type": "text", "text": "/no_think"}], False),
    ],
)
def test_the_system_prompt_may_switch_thinking(system: Any, thinks: bool | None) -> None:
    body = {"messages": [{"role": "system", "content": system}, *user("x")["messages"]]}
    after = rewritten(deepcopy(body), Rules(default_budget=16384))
    assert after.get("chat_template_kwargs", {}).get("enable_thinking") is thinks
    assert ("thinking_token_budget" in after) is (thinks is not False)
    assert after["messages"] == body["messages"]
    told = {**body, "chat_template_kwargs": {"enable_thinking": True}}
    assert rewritten(told)["chat_template_kwargs"] == {"enable_thinking": True}


# bounds


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("max_tokens", (1, 65536, None), (0, 65537, -1)),  # B29
        ("max_completion_tokens", (1, 65536), (0, 65537)),
        ("temperature", (0, 2, 0.5), (-0.1, 2.1)),  # B30
        ("top_p", (0, 1, -1, 0.3), (1.01, 2)),
    ],
)
def test_bounds(name: str, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    for value in inside:
        body = user("x", **{name: value})
        assert rewritten(deepcopy(body)) == body
    for value in outside:
        error = refused(user("x", **{name: value}))
        assert (error.status, error.field) == (422, name)


@pytest.mark.parametrize(
    ("seed", "becomes"),
    [
        (9007199254740993, 9007199254740993),  # B31
        (2**63 - 1, 2**63 - 1),  # B32
        (2**63, 2**63 - 1),
        (9223372036854776000, 2**63 - 1),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, -(2**63)),
        (-9223372036854776000, -(2**63)),
    ],
)
def test_seeds_that_a_double_has_rounded_are_moved_to_the_edge(seed: int, becomes: int) -> None:
    assert rewritten(user("x", seed=seed))["seed"] == becomes


@pytest.mark.parametrize("seed", [9223372036854776001, -9223372036854776001])
def test_a_seed_beyond_the_band_is_refused(seed: int) -> None:
    assert refused(user("x", seed=seed)).field == "seed"


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": None}])
def test_a_request_without_messages_is_refused(body: dict[str, Any]) -> None:  # B33
    assert refused(body).status == 422


def test_roles_and_lists_as_the_page_has_them() -> None:  # B33, B34
    odd = {"messages": [{"role": "narrator", "content": "x"}]}
    assert rewritten(deepcopy(odd)) == odd
    strict = Rules(strict=True)
    assert refused(odd, strict).status == 422
    for role in ("system", "assistant"):
        of_text = {"messages": [{"role": role, "content": [text("x")]}]}
        assert rewritten(deepcopy(of_text)) == of_text
        assert refused(of_text, strict).status == 422
        of_image = {"messages": [{"role": role, "content": [text("x"), image()]}]}
        for rules in (Rules(), strict):
            assert refused(of_image, rules).status == 422
