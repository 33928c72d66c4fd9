#!/usr/bin/env bash
# k-reciprocal re-ranking beside the dense form in numpy: benches/peers/rerank/run.sh [--help]
# Needs a Python with numpy (that of ../venv.sh, or the system's) and a machine on which nothing else
# runs.
set -euo pipefail
root="$(cd "$(dirname "$0")/../../.." && pwd)"
python="${CENTROIDS_PEERS_VENV:-$HOME/.cache/centroids-peers}/bin/python"
[ -x "$python" ] || python=python3
if ! "$python" -c "import numpy" 2>/dev/null; then
  echo "error: $python has no numpy; run benches/peers/venv.sh, or pip install numpy" >&2
  exit 1
fi
if [ -z "${RERANK_SPEED:-}" ]; then
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
  cargo build --quiet --locked --release --manifest-path "$root/Cargo.toml" \
    --workspace --example rerank_speed
  RERANK_SPEED="$CARGO_TARGET_DIR/release/examples/rerank_speed"
fi
exec "$python" "$root/benches/peers/rerank/run.py" --binary "$RERANK_SPEED" "$@"
