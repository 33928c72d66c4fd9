"""Two programs that take turns."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

PAUSE = 0.1  # seconds between turns, in which the threads of the other fall asleep


class Failed(Exception):
    """A worker ended early; the text is its last line."""


class Worker:
    """A process that runs one repeat for every line it is sent (see worker.py), ended by `with`."""

    def __init__(self, command: list, threads: int):
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | limits,
        )

    def __enter__(self) -> "Worker":
        try:
            self.answer()  # that it is ready
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()  # nothing, if it has ended
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            stream.close()

    def answer(self) -> dict:
        """The next line it says."""
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            words = self.errors.read().strip().splitlines()
            raise Failed(words[-1] if words else f"exit code {self.process.returncode}")
        return json.loads(line)

    def repeat(self) -> float:
        """Seconds of one run."""
        time.sleep(PAUSE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()["seconds"]

    def finish(self) -> dict:
        """Lets the process end; its summary."""
        self.process.stdin.close()
        summary = self.answer()
        self.process.wait()
        return summary

    def cpu_seconds(self) -> float:
        """Processor time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Processor time of the whole machine so far, with what a hypervisor took away."""
    user, nice, system, _idle, _wait, irq, soft, steal, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def alternate(ours: Worker, peer: Worker, repeats: int) -> dict:
    """A B A B ...: the seconds of both, and how many cores others kept busy meanwhile."""

    def foreign() -> float:
        return busy_seconds() - ours.cpu_seconds() - peer.cpu_seconds()

    start, before = time.monotonic(), foreign()
    turns = [(ours.repeat(), peer.repeat()) for _ in range(repeats)]
    others = (foreign() - before) / (time.monotonic() - start)
    return {
        "ours": [mine for mine, _ in turns],
        "peer": [theirs for _, theirs in turns],
        "ratio": statistics.median(theirs / mine for mine, theirs in turns),
        "others_cores": others,
    }
