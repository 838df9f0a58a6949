"""A request that is refused, and the answer to it."""

import json


class Refused(Exception):
    """Why a request is refused. `field` is what is wrong in it; as a `problem` it is answered by RFC 9457."""

    def __init__(
        self, message: str, *, status: int = 422, field: str | None = None, problem: bool = False
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.field, self.problem = message, status, field, problem

    def body(self) -> tuple[bytes, bytes]:
        """Return (body, media type) of the answer: an error in OpenAI's shape, or problem+json."""
        if self.problem:
            about = {
                "type": "about:blank",
                "title": "Not Found",
                "status": self.status,
                "detail": self.message,
            }
            return json.dumps(about).encode(), b"application/problem+json"
        kind = "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": self.field, "code": self.status}
        return json.dumps({"error": error}).encode(), b"application/json"
