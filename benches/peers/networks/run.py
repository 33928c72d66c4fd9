"""Runs PyTorch, ONNX Runtime and us in turn and writes a table; started by run.sh."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from cases import CASES, Case
from contest import Failed, Worker, alternate
from report import HEADER, rows, table

HERE = Path(__file__).parent
MATMUL_SIDE = 2048
# Embeddings differ from double precision by at most this, where every dimension has a deviation of
# about 1 over the batch; gradients from PyTorch's by this part of the norm of their tensor. (The
# latter is generous: PyTorch's two layouts differ by several percent in a random ResNet-50.)
LIMITS = {"embed": 5e-3, "train": 0.1}
# A norm counts as at least this part of the largest: the stem's bias has no effect, so its gradient
# is rounding alone.
SMALLEST_NORM = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="run.sh")
    parser.add_argument("--cases", default="", help="only those whose name has this text")
    parser.add_argument("--repeats", type=int, help="default 5; with --quick 2")
    parser.add_argument("--quick", action="store_true", help="2 repeats, PyTorch uncompiled only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("target/peers"), help="files .json, .md")
    parser.add_argument("--binary", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.repeats = options.repeats or (2 if options.quick else 5)

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


def ours(options: argparse.Namespace, *words) -> list:
    """Command of our side."""
    return [options.binary, "--threads", options.threads, *words]


def peer(options: argparse.Namespace, *words) -> list:
    """Command of a peer."""
    return [sys.executable, HERE / "worker.py", "--threads", options.threads, *words]


def peak(options: argparse.Namespace) -> float:
    """GFLOP/s of the fastest large matrix product of either side."""
    words = ["--task", "matmul", "--side", MATMUL_SIDE]
    seconds = []
    with Worker(ours(options, "--on-demand", *words), options.threads) as our_side:
        for variant in ("eager", "channels_last"):
            command = peer(options, *words, "--variant", variant)
            with Worker(command, options.threads) as other:
                turns = alternate(our_side, other, options.repeats)
            seconds += turns["ours"] + turns["peer"]
    return 2 * MATMUL_SIDE**3 / min(seconds) / 1e9


def run_case(case: Case, options: argparse.Namespace) -> dict:
    """Every setting of every peer against us."""
    words = ["--task", case.task, "--backbone", case.backbone]
    sizes = ["--batch", case.batch, "--size", case.size]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([sys.executable, HERE / "model.py", *words, *sizes, folder])
        words += ["--data", folder]
        our_command = ours(options, *words, *sizes)
        our_error = error_of(our_command, folder, case, options)
        with Worker([*our_command, "--on-demand"], options.threads) as our_side:
            variants = list(run_variants(case, our_side, options, words))
            summary = our_side.finish()
        facts = json.loads((folder / "case.json").read_text())
    result = {"name": str(case), "batch": case.batch, "task": case.task, "error": our_error}
    return result | facts | {"peak_rss_mb": summary["peak_rss_mb"], "variants": variants}


def run_variants(case: Case, our_side: Worker, options: argparse.Namespace, words: list):
    """The result of every setting that runs here; `words` end with the folder of the case."""
    for peer_name, settings in case.variants.items():
        if options.quick and peer_name != "PyTorch":
            continue
        for variant in settings:
            command = peer(options, *words, "--variant", variant)
            try:
                result = {"error": error_of(command, words[-1], case, options)}
                with Worker(command, options.threads) as other:
                    result |= alternate(our_side, other, options.repeats) | other.finish()
            except Failed as failed:
                if peer_name == "PyTorch":
                    raise
                print(f"{case}, {variant}: skipped, {failed}", file=sys.stderr)
                continue
            yield result | {"peer_name": peer_name, "variant": variant}


def run(command: list) -> None:
    """Runs a command to its end."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr.strip().rpartition("\n")[2])


def error_of(command: list, folder: Path, case: Case, options: argparse.Namespace) -> float:
    """How far the results of one run are from the reference; for gradients that is PyTorch."""
    reference, outputs = folder / "reference.safetensors", folder / "outputs.safetensors"
    if not reference.exists():
        words = ["--task", case.task, "--backbone", case.backbone, "--data", folder]
        run(peer(options, *words, "--outputs", reference))
    run([*command, "--outputs", outputs])
    wanted, found = load_file(reference), load_file(outputs)
    if wanted.keys() != found.keys():
        raise Failed(f"the results are of {sorted(wanted.keys() ^ found.keys())[0]} in one only")
    differences = {name: found[name].ravel() - wanted[name].ravel() for name in wanted}
    if case.task == "embed":
        return float(np.abs(differences["embeddings"]).max())
    norms = {name: np.linalg.norm(value) for name, value in wanted.items()}
    least = SMALLEST_NORM * max(norms.values())
    return float(np.max([np.linalg.norm(differences[k]) / max(norms[k], least) for k in norms]))


def check(result: dict) -> list[str]:
    """Whether ours is too far off; how far the peers are stands in the table."""
    limit, error = LIMITS[result["task"]], result["error"]
    return [] if error <= limit else [f"{result['name']}: {error:.1e}, allowed {limit:.1e}"]


if __name__ == "__main__":
    main()
