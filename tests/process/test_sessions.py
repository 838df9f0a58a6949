"""In which session each part of the service runs."""

import os

from tests.process.conftest import Start


def test_the_engine_has_a_session_of_its_own(start: Start) -> None:
    """Linux divides processor time by session: nginx must not wait for an engine that uses the CPU."""
    service = start().wait_ready()
    engine, nginx = os.getsid(service.api_server), os.getsid(service.nginx)
    assert engine == service.api_server
    assert os.getsid(service.core) == engine
    assert nginx != engine
    service.kill(service.core)
    service.wait_restarts(1)
    assert os.getsid(service.wait_ready().api_server) == service.api_server != engine
    assert service.stop() == 0
