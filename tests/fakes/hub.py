"""A model hub for the real client: repositories are directories, and it can be made to misbehave.

    python hub.py PORT_FILE '{"org/name": {"path": "/models/mine", …mood}}'

mood             | effect
-----------------|----------------------------------------------------------------------------------------
token            | only who sends this token is let in; others get 401 as for what does not exist
gated            | the files are listed, but given to nobody: 403
status           | every request is answered with it
cut              | {"file": name, "bytes": n, "times": t}: its connection breaks off after n bytes, t times
bytes_per_second | how fast the weights come
silent           | nothing is answered
sizes            | {name: bytes}: what is said of a file's size, whatever it has

Weights are kept as the hub keeps large files: on another host, to which it redirects. Each request is a line
on stdout.
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

LARGE = (".safetensors", ".bin", ".pt", ".pth")
STEP_SECONDS = 0.05
REVISIONS = ("main", "v1")


class Repository:
    """A directory as the hub has it. Its commit is a hash of what is in it."""

    def __init__(self, name: str, mood: dict[str, Any]) -> None:
        self.name, self.mood, self.root = name, mood, Path(mood["path"])
        self.files = {
            str(path.relative_to(self.root)): path for path in sorted(self.root.rglob("*")) if path.is_file()
        }
        contents = {name: path.read_bytes() for name, path in self.files.items()}
        self.hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        self.commit = hashlib.sha1(json.dumps(self.hashes).encode()).hexdigest()
        self.cuts = mood.get("cut", {}).get("times", 1)

    def size(self, name: str) -> int:
        """Return what is said of it."""
        told = self.mood.get("sizes", {}).get(name)
        return int(told) if told is not None else self.files[name].stat().st_size

    def entry(self, name: str) -> dict[str, Any]:
        """Return a file as listings have it."""
        entry: dict[str, Any] = {"size": self.size(name), "oid": self.hashes[name][:40]}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": self.hashes[name], "sha256": self.hashes[name], "size": self.size(name)}
            entry["lfs"]["pointerSize"] = 130
        return entry


class Hub:
    """All repositories, and the answers about them."""

    def __init__(self, repositories: dict[str, dict[str, Any]]) -> None:
        self.repositories = {name: Repository(name, mood) for name, mood in repositories.items()}

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.guard])
        for path in ("/api/models/{org}/{name}", "/api/models/{org}/{name}/revision/{revision}"):
            app.router.add_get(path, self.info)
        app.router.add_get("/api/models/{org}/{name}/tree/{revision}", self.tree)
        app.router.add_get("/api/models/{org}/{name}/tree/{revision}/{folder:.*}", self.tree)
        app.router.add_post("/api/models/{org}/{name}/paths-info/{revision}", self.paths_info)
        app.router.add_get("/{org}/{name}/resolve/{revision}/{file:.*}", self.resolve)
        app.router.add_get("/stored/{org}/{name}/{hash}", self.stored)
        return app

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Check access to a repository before the request is answered."""
        print(request.method, request.path, flush=True)
        where = request.match_info
        repository = self.repositories.get(f"{where.get('org')}/{where.get('name')}")
        if repository is None:
            return refused(401, "RepoNotFound", "Invalid username or password.")
        mood = repository.mood
        if mood.get("silent"):
            await asyncio.sleep(3600)
        if status := mood.get("status"):
            return refused(status, "", "out of order")
        if "hash" in where:  # the other host is not told who asks
            assert "Authorization" not in request.headers
        elif mood.get("token") and request.headers.get("Authorization") != f"Bearer {mood['token']}":
            return refused(401, "RepoNotFound", "Invalid username or password.")
        revision = where.get("revision", "main")
        if revision not in (*REVISIONS, repository.commit):
            return refused(404, "RevisionNotFound", "Invalid rev id")
        request["repository"] = repository
        answer: web.StreamResponse = await handler(request)
        return answer

    async def info(self, request: web.Request) -> web.Response:
        repository: Repository = request["repository"]
        files = []
        for name in repository.files:
            entry = repository.entry(name)
            files.append({"rfilename": name, "size": entry["size"], "blobId": entry.pop("oid")})
            files[-1] |= {"lfs": entry["lfs"]} if "lfs" in entry else {}
        facts = {"id": repository.name, "modelId": repository.name, "sha": repository.commit}
        return web.json_response(
            facts | {"private": False, "gated": False, "tags": [], "downloads": 0, "siblings": files}
        )

    async def tree(self, request: web.Request) -> web.Response:
        repository: Repository = request["repository"]
        folder = request.match_info.get("folder", "").strip("/")
        deep = request.query.get("recursive", "").lower() in ("1", "true")
        entries: dict[str, dict[str, Any]] = {}
        for name in repository.files:
            if folder and not name.startswith(folder + "/"):
                continue
            rest = name.removeprefix(folder).lstrip("/")
            if "/" in rest and not deep:
                path = f"{folder}/{rest.split('/')[0]}".lstrip("/")
                entries[path] = {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
            else:
                entries[name] = {"type": "file", "path": name, **repository.entry(name)}
        return web.json_response(list(entries.values()))

    async def paths_info(self, request: web.Request) -> web.Response:
        repository: Repository = request["repository"]
        paths = (await request.post()).getall("paths", []) or (await request.json()).get("paths", [])
        found = [str(path) for path in paths if str(path) in repository.files]
        return web.json_response([{"type": "file", "path": name, **repository.entry(name)} for name in found])

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        repository: Repository = request["repository"]
        name = request.match_info["file"]
        if repository.mood.get("gated"):
            return refused(403, "GatedRepo", f"Access to model {repository.name} is restricted.")
        if name not in repository.files:
            missing = refused(404, "EntryNotFound", "Entry not found")
            missing.headers["X-Repo-Commit"] = repository.commit
            return missing
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{repository.hashes[name]}"'}
        if not name.endswith(LARGE):
            return await self.send(request, repository, name, headers)
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(repository.size(name))}
        stored = f"/stored/{repository.name}/{repository.hashes[name]}"
        headers["Location"] = f"http://localhost:{request.url.port}{stored}"
        return web.Response(status=302, headers=headers)

    async def stored(self, request: web.Request) -> web.StreamResponse:
        repository: Repository = request["repository"]
        wanted = request.match_info["hash"]
        name = next(name for name, found in repository.hashes.items() if found == wanted)
        return await self.send(request, repository, name, {"ETag": f'"{wanted}"'})

    async def send(
        self, request: web.Request, repository: Repository, name: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Return the file, or the rest of it, as fast and as far as the mood says."""
        data = repository.files[name].read_bytes()
        begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        answer = web.StreamResponse(status=206 if begin else 200, headers=headers)
        answer.content_length = len(data) - begin
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        rate = repository.mood.get("bytes_per_second") if name.endswith(LARGE) else None
        cut = repository.mood.get("cut", {})
        step = int(rate * STEP_SECONDS) if rate else 1 << 20
        for start in range(begin, len(data), step):
            if cut.get("file") == name and repository.cuts and start + step > cut["bytes"]:
                repository.cuts -= 1
                await answer.write(data[start : max(cut["bytes"], start)])
                assert request.transport
                request.transport.abort()
                return answer
            await answer.write(data[start : start + step])
            if rate:
                await asyncio.sleep(STEP_SECONDS)
        await answer.write_eof()
        return answer


def refused(status: int, code: str, words: str) -> web.Response:
    """Return an error answer in the hub's form."""
    return web.json_response(
        {"error": words}, status=status, headers={"X-Error-Code": code, "X-Error-Message": words}
    )


async def serve(port_file: Path, repositories: dict[str, dict[str, Any]]) -> None:
    """Serve on a free port, which is written into the file, until the process is ended."""
    runner = web.AppRunner(Hub(repositories).app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    partial = port_file.with_suffix(".partial")
    partial.write_text(str(port))
    partial.replace(port_file)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), json.loads(sys.argv[2])))
