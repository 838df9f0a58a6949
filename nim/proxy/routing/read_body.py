"""Read the model's name from the body of a request: JSON, or a form with a field `model`."""

from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

import msgspec


class Asked(msgspec.Struct):
    """What a decision needs of a JSON body; the rest is skipped. Of repeated keys the last one counts."""

    model: Any = None
    previous_response_id: Any = None


class BodyError(Exception):
    """The body of a request cannot be read; the text says why, to the client."""


_DECODER = msgspec.json.Decoder(Asked)


def read_json(body: bytes | memoryview) -> Asked:
    """Return what a JSON object asks for; BodyError if it is none."""
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError:
        raise BodyError("the body is JSON, but not an object") from None
    except (msgspec.DecodeError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BodyError(f"cannot read the body as JSON: {why}") from None


def read_form(content_type: str, body: bytes) -> Asked:
    """Return the field `model` of a form (multipart/form-data); BodyError if it is none."""
    head = Message()
    head["Content-Type"] = content_type
    boundary = head.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise BodyError("cannot read the form: its Content-Type has no boundary")
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter)
    if at < 0:
        raise BodyError("cannot read the form: its boundary is not in the body")
    model: str | None = None
    parser = BytesHeaderParser()
    at = body.index(delimiter, at) + len(delimiter)
    while body[at : at + 2] == b"\r\n":
        end = body.find(b"\r\n" + delimiter, at)
        if end < 0:
            raise BodyError("cannot read the form: it ends in the middle")
        head_end = body.find(b"\r\n\r\n", at, end + 2)
        if head_end >= 0:
            part = parser.parsebytes(body[at + 2 : head_end + 2])
            if part.get_param("name", header="content-disposition") == "model":
                model = body[head_end + 4 : end].decode(errors="replace")
        at = end + 2 + len(delimiter)
    return Asked(model=model)
