#!/usr/bin/env python3
"""Lets huggingface_hub read the cache that vkft wrote, and vkft the one that huggingface_hub wrote, from one server on the loopback address.

    python3 tests/golden/check_hub_cache.py [--build build]

Needs PyPI's huggingface_hub. Checked:

  * what `vkft download` wrote is found by snapshot_download without a network, at the same path, with the same bytes, and scan_cache_dir has no
    warning; snapshot_download with the server fetches none of it again;
  * what snapshot_download wrote is found by vkft without a network, and vkft with the server fetches none of it again;
  * both caches have the same directories, files and links, with the same targets;
  * half a file (HASH.incomplete) is completed by both, by vkft without fetching that half again.

Prints a line per check; the exit code is 1 after the first difference.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "tools/bundled/model"
DATA = ROOT / "recipes/data"


class Server:
    def __init__(self, build):
        arguments = [build / "tests" / "serve_hub", "models", "o/m", MODEL, "datasets", "o/d", DATA]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.process.stdout.readline().strip()

    def sent(self):
        """Bytes of files since the last call."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        total, before = int(self.process.stdout.readline()), getattr(self, "total", 0)
        self.total = total
        return total - before

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def check(what, good, found=""):
    print(("ok    " if good else "FAILS ") + what + ("" if good else f": {found}"), flush=True)
    if not good:
        sys.exit(1)


def tree(directory):
    """Files, directories and links with their targets, but for locks and what each program keeps beside them."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if name.startswith(".locks") or path.name in ("CACHEDIR.TAG", ".no_exist"):
            continue
        found[name] = os.readlink(path) if path.is_symlink() else "directory" if path.is_dir() else path.read_bytes()
    return found


def vkft(build, home, endpoint, *arguments, offline=False):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint}
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    run = subprocess.run([build / "host/vkft", *arguments], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode:
        check("vkft " + " ".join(arguments), False, run.stderr)
    return run.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    build = parser.parse_args().build.resolve()
    server = Server(build)
    os.environ["HF_ENDPOINT"] = server.endpoint
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    import huggingface_hub
    from huggingface_hub import scan_cache_dir, snapshot_download

    print(f"huggingface_hub {huggingface_hub.__version__}")
    size = sum(p.stat().st_size for p in [*MODEL.iterdir(), *DATA.iterdir()])
    with tempfile.TemporaryDirectory() as text:
        ours, theirs, part = (pathlib.Path(text).resolve() / name for name in ("vkft", "huggingface_hub", "part"))
        at = {}
        for kind, name in (("model", "o/m"), ("dataset", "o/d")):
            at[kind] = vkft(build, ours, server.endpoint, "download", name, "--repo-type", kind, "--all")
        check("vkft downloads each byte once", (sent := server.sent()) == size, f"{sent} of {size}")
        for kind, name, source in (("model", "o/m", MODEL), ("dataset", "o/d", DATA)):
            path = snapshot_download(name, repo_type=kind, cache_dir=ours / "hub", local_files_only=True)
            check(f"{kind}: huggingface_hub finds it without a network", path == at[kind], f"{path}, {at[kind]}")
            same = all((pathlib.Path(path) / p.name).read_bytes() == p.read_bytes() for p in source.iterdir())
            check(f"{kind}: the same bytes", same)
            again = snapshot_download(name, repo_type=kind, cache_dir=ours / "hub")
            check(f"{kind}: huggingface_hub fetches none of it again", again == at[kind] and server.sent() == 0, again)
        scan = scan_cache_dir(ours / "hub")
        check("scan_cache_dir finds both and has no warnings", len(scan.repos) == 2 and not scan.warnings, scan.warnings)

        for kind, name in (("model", "o/m"), ("dataset", "o/d")):
            path = snapshot_download(name, repo_type=kind, cache_dir=theirs / "hub")
            server.sent()
            found = vkft(build, theirs, server.endpoint, "download", name, "--repo-type", kind, "--all")
            check(f"{kind}: vkft fetches none of what huggingface_hub wrote", found == path and server.sent() == 0, found)
            found = vkft(build, theirs, server.endpoint, "download", name, "--repo-type", kind, "--all", offline=True)
            check(f"{kind}: vkft finds it without a network", found == path, found)
        vkft(build, theirs, server.endpoint, "tokenize", "--model", "o/m", offline=True)
        mine, other = tree(ours / "hub"), tree(theirs / "hub")
        different = [n for n in {*mine, *other} if mine.get(n) != other.get(n)]
        check(f"both caches are the same: {len(mine)} names", not different, different)

        weights = next(p for p in (ours / "hub/models--o--m/snapshots").rglob("model.safetensors")).resolve()
        for program in ("vkft", "huggingface_hub"):
            blobs = part / program / "hub/models--o--m/blobs"
            blobs.mkdir(parents=True)
            half = weights.stat().st_size // 2
            (blobs / f"{weights.name}.incomplete").write_bytes(weights.read_bytes()[:half])
            server.sent()
            if program == "vkft":
                vkft(build, part / program, server.endpoint, "download", "o/m", "--include", "model.safetensors")
            else:
                snapshot_download("o/m", cache_dir=part / program / "hub", allow_patterns="model.safetensors")
            left, sent = weights.stat().st_size - half, server.sent()
            right = (blobs / weights.name).read_bytes() == weights.read_bytes()
            print(f"      {program} fetched {sent} bytes where {left} were missing")
            check(f"{program} completes half a file", right and (sent == left or program != "vkft"))
    server.stop()


if __name__ == "__main__":
    main()
