"""Give nginx the replicas that there are now, without cutting a stream."""

import asyncio
import logging
import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nim.errors import NimError
from nim.health.write_status_files import write_file
from nim.plan import NGINX_FILE, Plan
from nim.preflight.run_start_checks import test_configuration
from nim.proxy.backend_services import Backend
from nim.proxy.routing.models_of_backends import Fleet
from nim.proxy.upstreams import Place, is_elsewhere, nginx_backends

log = logging.getLogger(__name__)

NEW_FILE = "nginx.conf.new"
_MARK = re.compile(r"^# generation (\d+)$", re.MULTILINE)
_EXTERNAL = "location @external {"
_UPSTREAM = re.compile(r'^    upstream "(replica_[0-9a-f]+)" \{$', re.MULTILINE)


class NginxReload:
    """nginx's configuration: which generation it is, and which replicas it has.

    `direct`: nginx sends to the only replica without asking; never where `more` replicas may be found.
    """

    def __init__(
        self, plan: Plan, nginx: str, *, open_files: int, idle_seconds: int, authorities: str
    ) -> None:
        self._plan, self._nginx = plan, nginx
        self._open_files, self._idle_seconds, self._authorities = open_files, idle_seconds, authorities
        self._text = plan.file(NGINX_FILE).read_text(encoding="utf-8")
        found = _MARK.search(self._text)
        self.generation = int(found[1]) if found else 1
        self._external_since = self.generation if _EXTERNAL in self._text else None
        self.reloads = self.refused = 0
        self.direct = self.more = False

    def adopt(self, fleet: Fleet) -> None:
        """Note on each replica since which generation nginx has it."""
        names = set(_UPSTREAM.findall(self._text))
        if _EXTERNAL not in self._text:
            self._external_since = None
        elif self._external_since is None:
            self._external_since = self.generation
        for replica in fleet.replicas.values():
            if is_elsewhere(replica.backend, replica.place):
                replica.location_since = self._external_since or self.generation
            if replica.name not in names:
                replica.since = None
            elif replica.since is None:
                replica.since = self.generation

    async def apply(self, backends: Sequence[Backend], places: Sequence[Place]) -> bool:
        """Render, test and load a configuration with these replicas; return whether nginx has it.

        Nothing happens if it is the present one; if nginx refuses it, the present one stays.
        """
        if self._render(backends, places, self.generation) == self._text:
            return True
        generation = self.generation + 1
        text = self._render(backends, places, generation)
        try:
            await asyncio.to_thread(self._test, text)
        except (NimError, OSError) as error:
            self.refused += 1
            log.error("%s; nginx keeps the backends that it has", " ".join(str(error).split()))
            return False
        self.generation, self._text = generation, text
        self.reloads += 1
        self._hang_up()
        return True

    def _render(self, backends: Sequence[Backend], places: Sequence[Place], generation: int) -> str:
        """Return the text of nginx.conf."""
        from nim.render.nginx import render_nginx

        told = nginx_backends(
            backends,
            places,
            generation,
            idle_seconds=self._idle_seconds,
            authorities=self._authorities,
            more=self.more,
        )
        self.direct = told.direct is not None
        return render_nginx(
            self._plan.gateway,
            run_dir=self._plan.run_dir,
            engine_address=self._plan.engine.address,
            log_level=self._plan.log_level,
            json_logs=self._plan.json_logs,
            open_files=self._open_files,
            backends=told,
        )

    def _test(self, text: str) -> None:
        """Write the configuration beside the present one, have nginx test it, and put it in its place."""
        new = self._plan.file(NEW_FILE)
        write_file(new, text)
        try:
            test_configuration(self._nginx, Path(self._plan.run_dir), NEW_FILE)
            new.replace(self._plan.file(NGINX_FILE))
        finally:
            new.unlink(missing_ok=True)

    def _hang_up(self) -> None:
        """Have nginx load its configuration: running requests go on in its old workers."""
        with suppress(OSError, ValueError):
            pid = int(self._plan.file("nginx.pid").read_text())
            os.kill(pid, signal.SIGHUP)
