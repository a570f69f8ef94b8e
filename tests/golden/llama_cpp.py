"""llama.cpp as it is installed here, or in a directory for chroot: log-probabilities by its library (llama_logprobs.c, which needs cc and libllama-dev
there), tokens by llama-server, types by llama-quantize."""
import json
import os
import shutil
import subprocess
import time
import urllib.request

PORT = 18182


class LlamaCpp:
    def __init__(self, root, work):
        """root: "" or the directory; work: a directory whose path is the same in it."""
        self.root, self.inside = root, ["chroot", root] if root else []
        os.makedirs(root + work, exist_ok=True)
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama_logprobs.c"), root + work)
        self.program = os.path.join(work, "llama_logprobs")
        self.run("cc", "-O2", self.program + ".c", "-o", self.program, "-lllama", "-lggml", "-lggml-base", "-lm")

    def run(self, *command, text=None):
        done = subprocess.run([*self.inside, *command], capture_output=True, text=True, input=text)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
        return done.stdout

    def outside(self, path):
        return self.root + path

    def within(self, path):
        return path[len(self.root):]

    def bring(self, path):
        """Copies a file to the same path in the root."""
        if self.root:
            shutil.copy(path, self.root + path)

    def logprobs(self, path, ids, lora=None, products="cpu"):
        """Of each token but the first; paths as they are in the root. products: cpu or blas, as llama_logprobs.c has them."""
        return [float(line) for line in self.run(self.program, path, lora or "-", products, text=" ".join(map(str, ids))).split()]

    def quantize(self, source, to, kind, *flags):
        self.run("llama-quantize", *flags, source, to, kind, "1")

    def tokens(self, path, texts, special=True):
        """The tokens of each text, with what the tokenizer puts around it; special: those of special tokens' names."""
        command = ["llama-server", "-m", path, "--host", "127.0.0.1", "--port", str(PORT), "-c", "256", "-ngl", "0", "-t", "1", "--no-warmup"]
        server = subprocess.Popen([*self.inside, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(300):
                time.sleep(0.1)
                try:
                    ask("health")
                    break
                except OSError:
                    if server.poll() is not None:
                        raise SystemExit(f"llama-server does not load {path}")
            return [ask("tokenize", dict(content=t, add_special=True, parse_special=special))["tokens"] for t in texts]
        finally:
            server.terminate()
            server.wait()


def ask(what, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/{what}", json.dumps(body).encode() if body else None, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
