"""Run a plain function in a thread that nothing has to wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any
from weakref import WeakKeyDictionary

MOST_THREADS = 256

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def run_in_thread(function: Callable[..., Any], *values: Any, **named: Any) -> Any:
    """Return what a function returns. A caller that is cancelled leaves the thread behind, which goes on.

    Other than those of asyncio's own pool, the threads are not joined when a loop or the process ends: a
    function that hangs would hold up a job for minutes. Such a thread keeps its place, so that there are no
    more than MOST_THREADS.
    """
    loop = asyncio.get_running_loop()
    places = _places.setdefault(loop, asyncio.Semaphore(MOST_THREADS))
    done: asyncio.Future[Any] = loop.create_future()
    context = copy_context()

    def end(result: Any, error: Exception | None) -> None:
        places.release()
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)

    def work() -> None:
        result: Any = None
        failed: Exception | None = None
        try:
            result = context.run(function, *values, **named)
        except StopIteration as error:  # no future can have it
            failed = RuntimeError(f"StopIteration: {error.value}")
        except Exception as error:
            failed = error
        except BaseException as error:  # sys.exit() ends the function, not the server
            failed = RuntimeError(repr(error))
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(end, result, failed)

    await places.acquire()
    try:
        threading.Thread(target=work, name="plain-function", daemon=True).start()
    except RuntimeError:  # no more threads
        places.release()
        raise
    return await done
