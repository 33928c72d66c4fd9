"""The table of a load run, and results.json: the folder is the argument.

`--rate FILE` prints twice the answers a second of one report.
"""

import json
import pathlib
import sys


def answers_per_second(report):
    return report["statusCodeDistribution"].get("200", 0) / report["summary"]["total"]


if sys.argv[1] == "--rate":
    report = json.loads(pathlib.Path(sys.argv[2]).read_text())
    print(max(1, round(2 * answers_per_second(report))))
    sys.exit()

folder = pathlib.Path(sys.argv[1])


def read(name):
    return json.loads((folder / name).read_text())


def stage(run, name):
    """Mean milliseconds of a stage during a run."""

    def value(when, what):
        for line in (folder / f"{run}.{when}").read_text().splitlines():
            if line.startswith(f"{name}_{what} "):
                return float(line.split()[1])
        return 0.0

    count = value("after", "count") - value("before", "count")
    return 1000 * (value("after", "sum") - value("before", "sum")) / count if count else 0.0


def summary(run):
    report = read(f"{run}.json")
    percentiles = report["latencyPercentilesSuccessful"]
    return {
        "answered_per_second": answers_per_second(report),
        "p50_ms": 1000 * percentiles["p50"],
        "p99_ms": 1000 * percentiles["p99"],
        "statuses": report["statusCodeDistribution"],
        "errors": report.get("errorDistribution", {}),
        "batch": stage(run, "embed_batch_size") / 1000,
        "decode_ms": stage(run, "decode_seconds"),
        "embed_ms": stage(run, "embed_seconds"),
        "search_ms": stage(run, "search_seconds"),
    }


runs = {run: summary(run) for run in ["alone", "many", "overload"]}
alone = runs["alone"]
alone["overhead_ms"] = alone["p50_ms"] - alone["embed_ms"] - alone["search_ms"]
offline = read("offline.json")
memory = [int(line) / 1024 for line in (folder / "memory.txt").read_text().split()]
steady = memory[len(memory) // 4 :] or memory
result = {
    "runs": runs,
    "offline": offline,
    "memory_mib": {"first": memory[0], "least": min(steady), "most": max(steady)},
}
(folder / "results.json").write_text(json.dumps(result, indent=2) + "\n")

print(f"{'':10}{'answers/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'batch':>7}{'embed ms':>10}{'search ms':>10}  statuses")
for run, of in runs.items():
    print(
        f"{run:10}{of['answered_per_second']:10.2f}{of['p50_ms']:9.1f}{of['p99_ms']:9.1f}"
        f"{of['batch']:7.1f}{of['embed_ms']:10.1f}{of['search_ms']:10.1f}  {of['statuses']} {of['errors']}"
    )
print(f"beyond embed and search, one client: {alone['overhead_ms']:.1f} ms p50, of it decoding {alone['decode_ms']:.1f} ms")
print(f"offline: {json.dumps(offline)}")
print(f"memory under overload, after its first quarter: {min(steady):.0f} to {max(steady):.0f} MiB")
