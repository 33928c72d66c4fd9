#!/usr/bin/env python3
"""Compares what TensorBoard and MLflow read of a run with its metrics.jsonl.

    scripts/check_run_logs.py RUN [MLFLOW_DIR]

Needs their packages, best in a folder of their own, where the tests find them too:

    python3 -m venv ~/.cache/centroids/log-readers
    ~/.cache/centroids/log-readers/bin/pip install tensorboard mlflow-skinny
"""

import json
import os
import pathlib
import struct
import sys

Curves = dict[str, list[tuple[int, float]]]


def logged(run: pathlib.Path) -> Curves:
    """Every number of the log by name: (epoch, value)."""
    curves: Curves = {}
    for text in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        numbers = {name: value for name, value in line.items() if isinstance(value, (int, float))}
        for report in line.get("evaluation", [])[1:]:
            numbers[f"{report['unit']}/mAP"] = report["mAP"]
            numbers |= {f"{report['unit']}/Top-{k}": share for k, share in report["rank"].items()}
        for name in numbers.keys() - {"epoch", "time"}:
            curves.setdefault(name, []).append((line["epoch"], numbers[name]))
    return curves


def tensorboard(run: pathlib.Path) -> Curves:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    points = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return {tag: [(point.step, point.value) for point in curve] for tag, curve in points.items()}


def mlflow(folder: pathlib.Path, run: pathlib.Path) -> Curves:
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # newer ones ask for a database
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=folder.resolve().as_uri())
    found = client.search_runs(["0"], f"tags.run_folder = '{run.resolve()}'")
    if len(found) != 1 or found[0].info.status != "FINISHED":
        sys.exit(f"error: MLflow does not find one finished run: {found}")
    if "SOLVER/BASE_LR" not in found[0].data.params:
        sys.exit(f"error: MLflow finds no setting SOLVER/BASE_LR: {found[0].data.params}")
    names, run_id = found[0].data.metrics, found[0].info.run_id
    history = {name: client.get_metric_history(run_id, name) for name in names}
    return {name: [(point.step, point.value) for point in curve] for name, curve in history.items()}


def single(curves: Curves) -> Curves:
    """Values in single precision, as an event file has them."""
    rounded = lambda value: struct.unpack("f", struct.pack("f", value))[0]
    return {name: [(step, rounded(value)) for step, value in curve] for name, curve in curves.items()}


def compare(reader: str, expected: Curves, found: Curves) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            sys.exit(
                f"error: {reader} reads {name} as {found.get(name)}, the log has {expected.get(name)}"
            )
    print(f"{reader}: {len(found)} curves, {sum(map(len, found.values()))} points, as in the log")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    run = pathlib.Path(sys.argv[1])
    expected = logged(run)
    compare("TensorBoard", single(expected), tensorboard(run))
    if len(sys.argv) == 3:
        compare("MLflow", expected, mlflow(pathlib.Path(sys.argv[2]), run))


if __name__ == "__main__":
    main()
