"""One peer in one case: warms up, then runs one repeat for every line on standard input.

Prints a line of JSON when it is ready, one after each repeat, and its peak memory at the end of the
input. With `--outputs` it only runs once and writes what came out. Our `speed` speaks the same.
"""

import argparse
import json
import sys
import time
from pathlib import Path

REPEAT_SECONDS = 0.5  # a shorter run is done again and again until it fills this time
WARM_UPS = 2


def peak_rss_mb() -> float:
    """Largest resident set so far, in MiB (`VmHWM`)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


def seconds_of(run, times: int) -> float:
    """Seconds of one run, as the mean over `times`."""
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def say(**fields) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=["train", "embed", "matmul"], required=True)
    parser.add_argument("--backbone", default="")
    parser.add_argument("--variant", default="eager")
    parser.add_argument("--data", type=Path, help="folder that model.py filled")
    parser.add_argument("--side", type=int, help="of the square matrix")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--outputs", type=Path, help="safetensors file to write")
    arguments = parser.parse_args()

    if arguments.variant == "onnxruntime":
        import onnx_tasks as tasks
    else:
        import torch_tasks as tasks
    imported = peak_rss_mb()
    task = tasks.task(arguments)
    if arguments.outputs:
        task.run()
        return tasks.save(task.outputs(), arguments.outputs)
    last = [seconds_of(task.run, 1) for _ in range(WARM_UPS)][-1]
    times = max(1, round(REPEAT_SECONDS / last))
    say(ready=True)
    for _ in sys.stdin:
        say(seconds=seconds_of(task.run, times))
    say(peak_rss_mb=peak_rss_mb(), imported_rss_mb=imported)


if __name__ == "__main__":
    main()
