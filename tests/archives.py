"""Small image archives, whole and damaged, and a server that hands them out well and badly."""

import io
import json
import os
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy
import pytest

from mamlkit.families import archive

REAL = Path(os.environ["MAMLKIT_DATA"]) if os.environ.get("MAMLKIT_DATA") else None


def real(name):
    """A test that wants the real images of `name`."""
    there = REAL is not None and (REAL / name).is_dir()
    return pytest.mark.skipif(
        not there, reason=f"MAMLKIT_DATA names no folder with {name}/: the real images are not here"
    )


def image(width: int, height: int, mode: str, kind: str = "PNG", seed: int = 0) -> bytes:
    """An image file of random pixels; `mode` is Pillow's: "1" (one bit), "L" or "RGB"."""
    from PIL import Image

    pixels = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def unpacked(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def elsewhere(monkeypatch, folder: Path, name: str, splits: dict[str, list[str]]) -> None:
    """From now on `name` has these splits, data/cache is in `folder`, and MAMLKIT_DATA is not
    set."""
    monkeypatch.setattr(archive, "CACHE", folder / "cache")
    monkeypatch.setattr(archive, "SPLITS", folder / "splits")
    monkeypatch.delenv("MAMLKIT_DATA", raising=False)
    unpacked(folder / "splits", {f"{name}.json": json.dumps({"splits": splits}).encode()})


def left_behind(folder: Path) -> list[str]:
    """Half-written files anywhere in a folder."""
    return [path.name for path in folder.rglob(".*") if ".tmp" in path.name]


@contextmanager
def server(monkeypatch, files: dict[str, bytes]):
    """Yields a URL that ends in /. Below it: whole/NAME, moved/NAME (redirects), short/NAME,
    stalled/NAME, silent/NAME, page/NAME (something else); whatever else is 404. Also yields the
    paths that were asked for."""
    monkeypatch.setenv("no_proxy", "*")
    over, asked = threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            how, name = self.path.strip("/").rsplit("/", 1)
            data = files.get(name)
            if data is None or how not in ("whole", "moved", "short", "stalled", "silent", "page"):
                return self.send_error(404)
            if how == "silent":
                return over.wait(30)
            self.send_response(302 if how == "moved" else 200)
            if how == "moved":
                self.send_header("Location", f"/whole/{name}")
                return self.end_headers()
            data = b"<html>log in first</html>" if how == "page" else data
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if how in ("short", "stalled") else data)
            self.wfile.flush()
            if how == "stalled":
                over.wait(30)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}/", asked
        finally:
            over.set()
            httpd.shutdown()
            thread.join()
