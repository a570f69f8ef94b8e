#!/usr/bin/env python3
"""Opens the page of a run that is going on in headless Chromium, presses its buttons, and takes pictures.

    tests/host/watch/press_buttons.py [--program build/host/vkft] [--chromium chromium] PICTURES

Trains the bundled model for long, serves it by `vkft watch`, and checks: the page says "running"; it draws new steps
without being loaded again; "Pause" and "Resume" do that; nothing but the page's own address is ever requested;
"Save and stop" ends the run. Into the directory PICTURES it puts what is seen in both colour schemes, at the width of a
phone and of a desktop, of this run and of four runs drawn over each other by `vkft plot`. Needs chromium; nothing else.
"""
import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
SCHEMES = ("light", "dark")


class Browser:
    """Chromium, spoken to over two pipes: messages are JSON and end with a zero byte."""

    def __init__(self, chromium, profile):
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()

        def wire():
            os.dup2(to_read, 3)
            os.dup2(back_write, 4)

        # Descriptors that are 3 or 4 already would be closed by dup2's copies; high ones are not.
        to_read, back_write = (os.dup(to_read), os.dup(back_write))
        self.process = subprocess.Popen(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pending, self.number, self.session, self.requested = b"", 0, None, []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.call("Network.enable")
        self.call("Page.enable")

    def receive(self):
        while b"\0" not in self.pending:
            part = os.read(self.back, 1 << 16)
            if not part:
                sys.exit("chromium ended")
            self.pending += part
        message, self.pending = self.pending.split(b"\0", 1)
        message = json.loads(message)
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        return message

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            pass
        if "error" in answer:
            sys.exit(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)
        while self.value("document.readyState") != "complete":
            time.sleep(0.1)

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression, what, seconds=60):
        end = time.time() + seconds
        while not self.value(expression):
            if time.time() > end:
                sys.exit(f"waited {seconds} s in vain: {what}")
            time.sleep(0.1)
        print(f"ok: {what}")

    def press(self, ask):
        self.value(f"document.querySelector('[data-ask={ask}]').click()")

    def pictures(self, directory, name):
        for size, (width, height) in SIZES.items():
            self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=size == "phone")
            wide = self.value("document.documentElement.scrollWidth")
            if wide > width:
                sys.exit(f"{name}: {wide} pixels wide on a {size} of {width}")
            for scheme in SCHEMES:
                self.call("Emulation.setEmulatedMedia",
                          features=[{"name": "prefers-color-scheme", "value": scheme}])
                data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
                (directory / f"{name}-{size}-{scheme}.png").write_bytes(base64.b64decode(data))
        print(f"ok: pictures of {name}, no wider than the screen")


def train(program, directory, *flags):
    model = ROOT / "tools/bundled"
    return [program, "train", "--model", model / "model", "--data", model / "instructions.jsonl", "--val-split", "0.2",
            "--eval-steps", "10", "--batch-size", "2", "--gradient-accumulation-steps", "1", "--output-dir", directory,
            "--sample-prompts", directory.parent / "prompts.txt", "--max-new-tokens", "16", *flags]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("--program", default=str(ROOT / "build/host/vkft"))
    parser.add_argument("--chromium", default="chromium")
    arguments = parser.parse_args()
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        (work / "prompts.txt").write_text("Name the opposite of hot.\nWhat is the capital of a country that nobody knows?\n")
        run = subprocess.Popen(train(arguments.program, work / "run", "--max-steps", "100000"), **quiet)
        while not (work / "run/trainer_log.jsonl").exists():
            time.sleep(0.2)
        server = subprocess.Popen([arguments.program, "watch", work / "run"], stdout=subprocess.PIPE, text=True)
        address = server.stdout.readline().strip()
        browser = Browser(arguments.chromium, work / "profile")
        browser.open(address)
        browser.wait("document.querySelector('strong').textContent == 'running'", "the page says that the run is going on")
        browser.wait("document.querySelectorAll('svg').length >= 4", "it has charts")
        browser.value("window.seen = document.querySelector('td:nth-child(3)').textContent; window.same = true")
        browser.wait("document.querySelector('td:nth-child(3)').textContent != window.seen && window.same",
                     "new steps come without loading it again")
        browser.wait("document.querySelectorAll('.answers section').length == 2", "it has the answers to two prompts")
        browser.press("pause")
        browser.wait("document.querySelector('strong').textContent == 'paused'", "Pause pauses")
        browser.pictures(arguments.pictures, "one")
        browser.press("resume")
        browser.wait("document.querySelector('strong').textContent == 'running'", "Resume lets it go on")
        browser.press("stop")
        browser.wait("document.querySelector('strong').textContent == 'not running'", "Save and stop ends it")
        if run.wait(60) != 130:
            sys.exit(f"the run's exit code is {run.returncode}")
        elsewhere = [url for url in browser.requested if not url.startswith(address) and url != "about:blank"]
        if elsewhere:
            sys.exit(f"requested elsewhere: {elsewhere}")
        print(f"ok: {len(browser.requested)} requests, all to the page's own address")
        for number, rate in enumerate(("0.0005", "0.002", "0.004", "0.02")):
            subprocess.run(train(arguments.program, work / f"run{number}", "--max-steps", "60", "--learning-rate", rate),
                           check=True, **quiet)
        subprocess.run([arguments.program, "plot", *(work / f"run{n}" for n in range(4)), "-o", work / "four.html"],
                       check=True, **quiet)
        browser.open((work / "four.html").as_uri())
        browser.pictures(arguments.pictures, "four")
        browser.process.terminate()
        browser.process.wait()
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
