#!/usr/bin/env bash
# How fast the service is, and what it does under twice the load that it can take: ResNet-50 at
# 256×128, 10,000 classes, JPEG in, hits out, on the loopback address. Run it on a quiet machine.
#
#   benches/load/run.sh                    3 minutes of overload
#   SECONDS_EACH=5 OVERLOAD=10 benches/load/run.sh
#
# Needs a build (cargo build --release --workspace), Python, and oha (cargo install oha
# --no-default-features; found on the PATH or through OHA). Results: a table and results.json in
# the folder named by OUT (default target/load).
set -euo pipefail
cd "$(dirname "$0")/../.."

each=${SECONDS_EACH:-30}
overload=${OVERLOAD:-180}
out=$(realpath -m "${OUT:-target/load}")
binary=$(realpath "${CARGO_TARGET_DIR:-target}/release/centroids")
oha=${OHA:-$(command -v oha || true)}
[ -x "$binary" ] || { echo "error: build first: cargo build --release --workspace" >&2; exit 1; }
[ -n "$oha" ] || { echo "error: cargo install oha --no-default-features, or set OHA" >&2; exit 1; }
mkdir -p "$out"

server=
finish() {
  [ -z "$server" ] || { kill "$server" && wait "$server"; } || true
} 2>/dev/null
trap finish EXIT

centroids() { "$binary" -q "$@"; }

# A model, whose weights need not be good, and a gallery of 10,000 classes with two images each.
if [ ! -f "$out/shop.gallery" ]; then
  echo "preparing the model and 10,000 classes in $out" >&2
  rm -rf "$out"/{catalogue,run,making.gallery*}
  centroids data synth "$out/catalogue" --train-ids 4 --test-ids 2 --images-per-camera 2 \
    --distractors 0 --junk 0 --size 256 128 >&2
  centroids train --output-dir "$out/run" DATASETS.ROOT_DIR "$out/catalogue" MODEL.NAME resnet50 \
    MODEL.PRETRAINED False INPUT.SIZE_TRAIN '[256,128]' INPUT.SIZE_TEST '[256,128]' \
    SOLVER.IMS_PER_BATCH 4 DATALOADER.NUM_INSTANCE 2 SOLVER.EVAL_PERIOD 0 SOLVER.MAX_EPOCHS 1 >&2
  centroids index create "$out/making.gallery" --model "$out/run" >&2
  python3 benches/load/vectors.py "$out/vectors.safetensors" 20000 2048 10000
  centroids index add "$out/making.gallery" "$out/vectors.safetensors" >&2
  rm "$out/vectors.safetensors"
  mv "$out/making.gallery" "$out/shop.gallery"
fi
picture=$(find "$out/catalogue/query" -name '*.jpg' | sort | head -n 1)

echo "offline" >&2
centroids bench embed --model "$out/run" --batches 1 32 --json >"$out/offline.json"

"$binary" serve --store "$out/shop.gallery" --listen 127.0.0.1:0 --json \
  >"$out/said" 2>"$out/server.log" &
server=$!
until [ -s "$out/said" ]; do kill -0 "$server"; sleep 0.1; done
url=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["url"])' <"$out/said")

# load NAME CLIENTS SECONDS [OPTION...]
load() {
  local name=$1 clients=$2 seconds=$3
  shift 3
  echo "$name: $clients clients, $seconds s $*" >&2
  curl -s "$url/metrics" >"$out/$name.before"
  "$oha" --no-tui --output-format json --stats-success-breakdown -c "$clients" -z "${seconds}s" -w \
    -m POST -T image/jpeg -D "$picture" "$@" "$url/v1/search?k=10" >"$out/$name.json"
  curl -s "$url/metrics" >"$out/$name.after"
}
load warm 4 3
load alone 1 "$each"
load many 32 "$each"
# Twice as many a second as were answered, whoever is refused; memory once a second.
rate=$(python3 benches/load/summary.py --rate "$out/many.json")
while sleep 1; do awk '/^VmRSS/ {print $2}' "/proc/$server/status"; done >"$out/memory.txt" &
watch=$!
load overload 256 "$overload" -q "$rate"
kill "$watch"
python3 benches/load/summary.py "$out"
