"""`python -m bench.sources`: the downloader beside the libraries used bare, in alternating rounds.

The weights are random bytes in three files. nginx serves them as a web directory; moto serves them as S3.
Each measurement is a process of its own. Nothing is asserted: the figures go to docs/sources.md, with the
machine.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.sources.conftest import make_model
from tests.sources.store_servers import BUCKET, KEY, SECRET, put_in_s3, running_moto

HERE = Path(__file__).resolve().parents[1]
SHARDS = 3
NGINX = """\
{3}daemon off; pid {0}/nginx.pid; error_log {0}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{1}; root {2}; autoindex on; {4} }} }}
"""
# Each prints: seconds of importing, seconds of fetching, seconds of processor time, peak memory in MB.
COMMON = """
import os, resource, sys, time
began = time.perf_counter()
{imports}
imported = time.perf_counter()
{fetch}
over = time.perf_counter()
used = resource.getrusage(resource.RUSAGE_SELF)
print(imported - began, over - imported, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
PROGRAMS = {
    "obstore, one file after the other": (
        "import obstore; from obstore.store import HTTPStore, S3Store",
        """
for name in NAMES:
    with open(f'{OUT}/{name}', 'wb') as file:
        for chunk in obstore.get(STORE, name).stream(min_chunk_size=1 << 20):
            file.write(chunk)
""",
    ),
    "obstore, all files at once": (
        (
            "import obstore; from concurrent.futures import ThreadPoolExecutor\n"
            "from obstore.store import HTTPStore, S3Store"
        ),
        """
def get(name):
    with open(f'{OUT}/{name}', 'wb') as file:
        for chunk in obstore.get(STORE, name).stream(min_chunk_size=1 << 20):
            file.write(chunk)
list(ThreadPoolExecutor(len(NAMES)).map(get, NAMES))
""",
    ),
    "obstore, all files at once, then verified": (
        """
import hashlib, obstore
from concurrent.futures import ThreadPoolExecutor
from obstore.store import HTTPStore, S3Store
""",
        """
def get(name):
    with open(f'{OUT}/{name}', 'w+b') as file:
        for chunk in obstore.get(STORE, name).stream(min_chunk_size=1 << 20):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        hashlib.file_digest(file, 'md5')
list(ThreadPoolExecutor(len(NAMES)).map(get, NAMES))
""",
    ),
    "boto3": (
        "import boto3",
        """
keys = {'aws_access_key_id': KEY, 'aws_secret_access_key': SECRET, 'region_name': 'us-east-1'}
client = boto3.client('s3', endpoint_url=URL, **keys)
for name in NAMES:
    client.download_file(BUCKET, name, f'{OUT}/{name}')
""",
    ),
    "s3fs": (
        "import s3fs",
        """
system = s3fs.S3FileSystem(endpoint_url=URL, key=KEY, secret=SECRET)
for name in NAMES:
    system.get(f'{BUCKET}/{name}', f'{OUT}/{name}')
""",
    ),
    "this downloader": (
        (
            "from nim.fetch.download.fetch_model import fetch_model\n"
            "from nim.fetch.sources.open_source import open_source\n"
            "from nim.plan import RemoteModel"
        ),
        "fetch_model(RemoteModel(uri=URI, directory=OUT), lambda: open_source(URI, os.environ), print)",
    ),
}


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.sources", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1200, help="of weights, in three files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        origin = make_shards(work / "files" / "model", options.megabytes * 10**6 // SHARDS)
        web = [name for name in PROGRAMS if name not in ("boto3", "s3fs")]
        for limit in ("", "limit_rate 60m;"):
            with web_server(work, work / "files", limit) as url:
                options_text = "client_options={'allow_http': True}"
                store = f"HTTPStore.from_url({url + '/model'!r}, {options_text})"
                words = {"URI": f"{url}/model", "STORE": store}
                compare(f"nginx {limit}".strip(" ;"), web, options.rounds, work, words, origin)
        small = make_shards(work / "small", 100 * 10**6)
        with running_moto(work) as url:
            put_in_s3(url, small)
            store = (
                f"S3Store({BUCKET!r}, endpoint={url!r}, access_key_id={KEY!r}, secret_access_key={SECRET!r}, "
                "client_options={'allow_http': True})"
            )
            os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
            words = {"URI": f"s3://{BUCKET}", "STORE": store, "URL": url}
            compare("S3 (moto)", list(PROGRAMS), options.rounds, work, words, small)


def make_shards(directory: Path, size: int) -> Path:
    """Return a directory with a configuration and three files of random weights."""
    make_model(directory, 1000)
    whole = (directory / "model.safetensors").read_bytes()[:-1000]
    (directory / "model.safetensors").unlink()
    for number in range(1, SHARDS + 1):
        with (directory / f"model-0000{number}-of-0000{SHARDS}.safetensors").open("wb") as file:
            file.write(whole)
            for _ in range(size // 10**6):
                file.write(os.urandom(10**6))
    return directory


@contextmanager
def web_server(work: Path, root: Path, limit: str = "") -> Iterator[str]:
    """Yield the address of an nginx that serves a directory, perhaps with a limit for each connection."""
    configuration = work / "nginx.conf"
    configuration.write_text(
        NGINX.format(work, 18480, root, "user root; " if os.geteuid() == 0 else "", limit)
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen(
        [program, "-p", str(work), "-c", str(configuration)], stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(1)
        yield "http://127.0.0.1:18480"
    finally:
        process.terminate()
        process.wait(20)


def compare(
    title: str, names: Sequence[str], rounds: int, work: Path, words: dict[str, str], origin: Path
) -> None:
    """Print a table of the programs' medians."""
    files = [path.name for path in sorted(origin.iterdir()) if path.suffix == ".safetensors"]
    size = sum((origin / name).stat().st_size for name in files)
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    measure(names[0], work, words, files)  # what the servers read comes into the page cache
    for _ in range(rounds):
        for name in names:
            results[name].append(measure(name, work, words, files))
    print(f"\n| {title}, {size / 10**6:.0f} MB | import, ms | MB/s | processor, s | peak memory, MB |")
    print("|---|---|---|---|---|")
    for name, found in results.items():
        imports, seconds, processor, memory = (
            statistics.median(column) for column in zip(*found, strict=True)
        )
        speed = size / 10**6 / seconds
        print(f"| {name} | {imports * 1000:.0f} | {speed:.0f} | {processor:.2f} | {memory:.0f} |", flush=True)


def measure(name: str, work: Path, words: dict[str, str], files: Sequence[str]) -> tuple[float, ...]:
    """Return what one program printed."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    os.sync()
    imports, fetch = PROGRAMS[name]
    given = {"OUT": str(out), "NAMES": list(files), "KEY": KEY, "SECRET": SECRET, "BUCKET": BUCKET, **words}
    values = "\n".join(f"{key} = {value!r}" for key, value in given.items() if key != "STORE")
    store = f"STORE = {words['STORE']}" if "obstore" in imports else ""
    program = values + COMMON.format(imports=f"{imports}\n{store}", fetch=fetch)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HERE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return tuple(map(float, done.stdout.splitlines()[-1].split()))


if __name__ == "__main__":
    main()
