"""Runs PyTorch, ONNX Runtime and us in turn and writes a table; started by run.sh."""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from cases import CASES, Case
from contest import Failed, Worker, alternate
from report import HEADER, rows, table

HERE = Path(__file__).parent
MATMUL_SIDE = 2048
# Largest difference of an embedding from double precision, where the deviation of each of its
# dimensions over a batch is about 1; and of a loss from PyTorch's first steps, relative.
EMBEDDING_LIMIT = 5e-3
LOSS_LIMIT = 1e-2
LOSSES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="run.sh")
    parser.add_argument("--cases", default="", help="only those whose name has this text")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="2 repeats, PyTorch uncompiled only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("target/peers"), help="files .json, .md")
    parser.add_argument("--binary", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.repeats = 2

    chosen = [case for case in CASES if options.cases in str(case)]
    if not chosen:
        names = ", ".join(map(str, CASES))
        sys.exit(f"error: no case has `{options.cases}` in its name; there are {names}")
    options.out.parent.mkdir(parents=True, exist_ok=True)

    results = {"machine": machine(options), "peak_gflops": peak(options), "cases": []}
    print(f"peak: {results['peak_gflops']:.0f} GFLOP/s\n{HEADER}", flush=True)
    wrong = []
    for case in chosen:
        try:
            result = run_case(case, options)
        except Failed as failed:
            if "unknown backbone" not in str(failed):
                sys.exit(f"error: {case}: {failed}")
            print(f"{case}: skipped, {failed}", file=sys.stderr)
            continue
        results["cases"].append(result)
        wrong += check(result)
        print("\n".join(rows(result, results["peak_gflops"])), flush=True)
        options.out.with_suffix(".json").write_text(json.dumps(results, indent=1))
        options.out.with_suffix(".md").write_text(table(results) + "\n")
    if wrong:
        sys.exit("error: these results differ, so their speed says nothing:\n" + "\n".join(wrong))


def machine(options: argparse.Namespace) -> dict:
    """What the figures belong to."""
    processor = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    packages = {name: version(name) for name in ("torch", "torchvision", "onnxruntime")}
    return {"processor": processor, "cores": os.cpu_count(), "threads": options.threads} | packages


def start_ours(options: argparse.Namespace, *words) -> Worker:
    """Our side, ready."""
    command = [options.binary, "--on-demand", "--threads", options.threads, *words]
    return Worker(command, options.threads)


def start_peer(options: argparse.Namespace, *words) -> Worker:
    """A peer, ready."""
    command = [sys.executable, HERE / "worker.py", "--threads", options.threads, *words]
    return Worker(command, options.threads)


def peak(options: argparse.Namespace) -> float:
    """GFLOP/s of the fastest large matrix product of either side."""
    words = ["--task", "matmul", "--side", MATMUL_SIDE]
    with start_ours(options, *words) as ours, start_peer(options, *words) as peer:
        turns = alternate(ours, peer, options.repeats)
    return 2 * MATMUL_SIDE**3 / min(turns["ours"] + turns["peer"]) / 1e9


def run_case(case: Case, options: argparse.Namespace) -> dict:
    """Every setting of every peer against us."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["--task", case.task, "--backbone", case.backbone]
        sizes = ["--batch", case.batch, "--size", case.size]
        facts = write_case(folder, *words, *sizes)
        words += ["--data", folder, "--outputs"]
        ours_file = folder / "ours.json"
        with start_ours(options, *words, ours_file, *sizes) as ours:
            variants = list(run_variants(case, ours, options, [*words, folder / "peer.json"]))
            summary = ours.finish()
        outputs = json.loads(ours_file.read_text())
    wanted = facts.get("embeddings") or variants[0]["outputs"]
    for variant in variants:
        variant["error"] = difference(case, variant.pop("outputs"), wanted)
    return {
        "name": str(case),
        "batch": case.batch,
        "task": case.task,
        "flop": facts["flop"],
        "peak_rss_mb": summary["peak_rss_mb"],
        "error": difference(case, outputs, wanted),
        "variants": variants,
    }


def write_case(folder: Path, *words) -> dict:
    """The files of a case, made in a process of its own; its facts."""
    command = [sys.executable, HERE / "model.py", *words, folder]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr)
    return json.loads((folder / "case.json").read_text())


def run_variants(case: Case, ours: Worker, options: argparse.Namespace, words: list):
    """The result of every setting that runs here; `words` end with the file of its outputs."""
    for peer_name, settings in case.variants.items():
        if options.quick and peer_name != "PyTorch":
            continue
        for variant in settings:
            try:
                with start_peer(options, *words, "--variant", variant) as peer:
                    result = alternate(ours, peer, options.repeats) | peer.finish()
            except Failed as failed:
                if peer_name == "PyTorch":
                    raise
                print(f"{case}, {variant}: skipped, {failed}", file=sys.stderr)
                continue
            result |= {"peer_name": peer_name, "variant": variant}
            yield result | {"outputs": json.loads(words[-1].read_text())}


def difference(case: Case, found: list[float], wanted: list[float]) -> float:
    """The largest difference of embeddings, or the largest relative one of the first losses."""
    if case.task == "train":
        pairs = list(zip(found, wanted))[:LOSSES]
        differences = [abs(a - b) / abs(b) for a, b in pairs]
    else:
        differences = [abs(a - b) for a, b in zip(found, wanted, strict=True)]
    return math.nan if any(map(math.isnan, differences)) else max(differences)


def check(result: dict) -> list[str]:
    """What is too far off."""
    limit = LOSS_LIMIT if result["task"] == "train" else EMBEDDING_LIMIT
    sides = [("ours", result["error"])]
    sides += [(variant["variant"], variant["error"]) for variant in result["variants"]]
    return [
        f"{result['name']}, {side}: {error:.1e}, allowed {limit:.1e}"
        for side, error in sides
        if not error <= limit
    ]


if __name__ == "__main__":
    main()
