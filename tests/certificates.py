"""Certificates for tests, made by the openssl program: an authority of its own and what it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

SUBJECT_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Paths of a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self.certificate = str(directory / "authority.pem")
        self._key = str(directory / "authority.key")
        _openssl(
            "req", "-x509", *_new_key(self._key), "-out", self.certificate, "-subj", f"/CN={directory.name}"
        )

    def issue(self, name: str, *, days: int = 30, also: str = "") -> Pair:
        """Return a pair signed for localhost. Negative days: it has expired. `also`: more extensions."""
        pair = Pair(certificate=self._path(f"{name}.pem"), key=self._path(f"{name}.key"))
        request, extensions = self._path(f"{name}.csr"), self._directory / "extensions"
        extensions.write_text(f"{SUBJECT_NAMES}\n{also}")
        _openssl("req", *_new_key(pair.key), "-out", request, "-subj", f"/CN={name}")
        signed_by = (
            "-CA",
            self.certificate,
            "-CAkey",
            self._key,
            "-CAcreateserial",
            "-extfile",
            str(extensions),
        )
        _openssl("x509", "-req", "-in", request, *signed_by, "-days", str(days), "-out", pair.certificate)
        return pair

    def _path(self, name: str) -> str:
        return str(self._directory / name)


def _new_key(path: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path)


def _openssl(*words: str) -> None:
    subprocess.run(("openssl", *words), check=True, capture_output=True)
