"""What the catalog's class is told by the launcher, through one variable of the engine's environment."""

import json
from typing import Self

from nim.frozen_dataclass import frozen_dataclass

VARIABLE = "NIM_CATALOG_RULES"


@frozen_dataclass
class Rules:
    """`strict`: as the catalog's page has it, to the letter. `default_budget`: of requests that name none.

    `assets`: the directory of uploaded assets; `allowed`: below it vLLM opens files itself.
    `trusts_platform`: headers in which NVCF names files are believed. `has_key`: the engine itself asks for
    an API key.
    """

    strict: bool = False
    default_budget: int | None = None
    assets: str | None = None
    allowed: str | None = None
    trusts_platform: bool = False
    has_key: bool = False

    def to_json(self) -> str:
        """Return the rules as JSON text, readable by `from_json`."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})  # type: ignore[attr-defined]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the Rules in text that `to_json` wrote."""
        return cls(**json.loads(text))
