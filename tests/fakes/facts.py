"""The fake engine's routes that do not generate."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.fakes.answers import Json, prompt_of
from tests.fakes.service import Refused, Service, as_json, read_object
from tests.fakes.words import VERSION

DOCS = "<!DOCTYPE html><title>FastAPI - Swagger UI</title><script src='/static/swagger-ui-bundle.js'>"


class Facts:
    """Models, tokenizer, rendering, scoring, adapters, health, documentation."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.by_path: dict[str, Callable[[Json], Any]] = {
            "/version": lambda _: {"version": VERSION},
            "/load": lambda _: {"server_load": self.load()},
            "/v1/models": lambda _: {"object": "list", "data": self.cards()},
            "/tokenize": self.tokenize,
            "/detokenize": lambda body: {"prompt": bytes(body["tokens"]).decode(errors="replace")},
            "/v1/messages/count_tokens": lambda body: {"input_tokens": len(prompt_of(body))},
            "/generative_scoring": self.score,
            "/v1/chat/completions/render": self.render,
            "/v1/completions/render": lambda body: [self.render(body)],
            "/v1/messages/render": self.render,
            "/v1/responses/render": self.render,
            "/v1/load_lora_adapter": lambda body: self.load_adapter(body["lora_name"], body["lora_path"]),
            "/v1/unload_lora_adapter": lambda body: self.unload_adapter(body["lora_name"]),
        }

    async def answer(self, request: web.Request) -> web.Response:
        """Return what the table says; an empty object for a path that is not in it."""
        body = await read_object(request) if request.method == "POST" else {}
        try:
            tell = self.by_path.get(request.path)
            said = tell(body) if tell else {}
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(400, f"1 validation error: {error!r}", "Bad Request") from None
        return web.Response(text=said) if isinstance(said, str) else as_json(said)

    async def health(self, _: web.Request) -> web.Response:
        """Answer 200 unless the core is dead, also while draining or stopped."""
        return web.Response(status=503 if self.service.halted == "dead" else 200)

    async def docs(self, _: web.Request) -> web.Response:
        """Return a page that loads its script from the engine."""
        return web.Response(text=DOCS, content_type="text/html")

    async def not_enabled(self, _: web.Request) -> web.Response:
        """Answer as vLLM without `--enable-scale-out`."""
        switch = "Restart vllm serve with --enable-scale-out to enable them."
        raise Refused(403, f"Scale-out endpoints are disabled. {switch}", "PermissionDeniedError")

    def load(self) -> int:
        """Return the number of running answers, if vLLM counts them."""
        return len(self.service.running) if "enable-server-load-tracking" in self.service.options else 0

    def cards(self) -> list[Json]:
        """Return the list of models: the served names, then the adapters."""
        service = self.service
        head: Json = {"object": "model", "created": int(service.ready_at), "owned_by": "vllm"}
        served = [{"id": name, **head, "root": service.model, "parent": None} for name in service.names]
        head["parent"] = service.names[0]
        adapters = [{"id": name, **head, "root": path} for name, path in service.adapters.items()]
        return [card | {"max_model_len": service.max_model_len} for card in (*served, *adapters)]

    def tokenize(self, body: Json) -> Json:
        """Return one token a byte."""
        tokens = list(prompt_of(body).encode())
        limit = self.service.max_model_len
        return {"count": len(tokens), "max_model_len": limit, "tokens": tokens, "token_strs": None}

    def score(self, body: Json) -> Json:
        """Return a falling score for each item."""
        data = [{"index": n, "object": "score", "score": 1 / (n + 2)} for n, _ in enumerate(body["items"])]
        return {"id": "generative-scoring-1", "object": "list", "model": self.service.names[0], "data": data}

    def render(self, body: Json) -> Json:
        """Return a request as the token request it becomes."""
        sampling = {"max_tokens": body.get("max_tokens"), "temperature": body.get("temperature", 1.0)}
        head = {"request_id": "render-1", "model": self.service.names[0], "stream": False}
        return {**head, "token_ids": list(prompt_of(body).encode()), "sampling_params": sampling}

    def load_adapter(self, name: str, path: str) -> str:
        """Add a LoRA adapter, where LoRA is on."""
        if "enable-lora" not in self.service.options:
            cause = "LoRA is not enabled. Use --enable-lora to enable LoRA."
            raise Refused(500, f"Call to add_lora method failed: Worker failed with error '{cause}'")
        self.service.adapters[name] = path
        return f"Success: LoRA adapter '{name}' added successfully."

    def unload_adapter(self, name: str) -> str:
        """Remove a LoRA adapter."""
        if self.service.adapters.pop(name, None) is None:
            raise Refused(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        return f"Success: LoRA adapter '{name}' removed successfully."
