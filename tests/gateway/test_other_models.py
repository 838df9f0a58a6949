"""Routes for models of another kind: a 404 that says what this one does."""

from tests.gateway.conftest import Build


async def test_a_route_for_another_kind_of_model_says_so(build: Build) -> None:
    stack = await build(tasks=("pooling",))
    for path in ("/v1/chat/completions", "/v1/chat/completions/"):
        answer = await stack.ask(path, method="POST", body=b"{}")
        assert answer.status == 404
        assert "cannot answer here: this model generates no text" in answer.json()["error"]["message"]
    assert (await stack.ask("/v1/embeddings", method="POST", body=b"{}")).status == 200
    assert "among the open routes" in (await stack.ask("/nothing")).json()["error"]["message"]
    assert [each.target for each in stack.engine.received] == ["/v1/embeddings"]
