#!/usr/bin/env bash
# Speed of the networks beside PyTorch and ONNX Runtime: benches/peers/networks/run.sh [--help]
# Needs the environment of ../venv.sh, and a machine on which nothing else runs.
set -euo pipefail
root="$(cd "$(dirname "$0")/../../.." && pwd)"
python="${CENTROIDS_PEERS_VENV:-$HOME/.cache/centroids-peers}/bin/python"
if [ ! -x "$python" ]; then
  echo "error: $python is missing; run benches/peers/venv.sh, or set CENTROIDS_PEERS_VENV" >&2
  exit 1
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
cargo build --quiet --locked --release --manifest-path "$root/Cargo.toml" \
  --workspace --example speed
exec "$python" "$root/benches/peers/networks/run.py" \
  --binary "$CARGO_TARGET_DIR/release/examples/speed" "$@"
