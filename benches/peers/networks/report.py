"""The Markdown table of the results."""

import statistics

HEADER = """\
| case | peer | setting | peer, images/s | ours, images/s | ratio | peer, % of peak | ours, % of peak \
| peer, MiB | ours, MiB | peer, error | ours, error | cores of others |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def table(results: dict) -> str:
    """One row for each case and peer, in its fastest setting."""
    lines = [row for case in results["cases"] for row in rows(case, results["peak_gflops"])]
    return "\n".join([HEADER, *lines])


def rows(case: dict, peak: float) -> list[str]:
    """The rows of one case."""
    peers = {}
    for variant in case["variants"]:
        peers.setdefault(variant["peer_name"], []).append(variant)
    speed = lambda variant: statistics.median(variant["peer"])
    return [row(case, min(variants, key=speed), peak) for variants in peers.values()]


def row(case: dict, variant: dict, peak: float) -> str:
    """One line of the table."""
    rates = [case["batch"] / statistics.median(variant[side]) for side in ("peer", "ours")]
    percent = [100 * rate * case["flop"] / 1e9 / peak for rate in rates]
    memory = [variant["peak_rss_mb"], case["peak_rss_mb"]]
    errors = [variant["error"], case["error"]]
    cells = [case["name"], variant["peer_name"], variant["variant"]]
    cells += [f"{rate:.2f}" for rate in rates] + [f"{variant['ratio']:.2f}"]
    cells += [f"{x:.0f}" for x in percent + memory] + [f"{x:.0e}" for x in errors]
    return f"| {' | '.join(cells + [format(variant['others_cores'], '.2f')])} |"
