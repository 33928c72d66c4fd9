#!/usr/bin/env bash
# Evaluation beside fast-reid's compiled one: benches/peers/evaluation/run.sh [--help]
# Needs the environment of ../venv.sh, a C compiler, and a machine on which nothing else runs.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
venv="${CENTROIDS_PEERS_VENV:-$HOME/.cache/centroids-peers}"
if [ ! -x "$venv/bin/python" ]; then
  echo "error: $venv/bin/python is missing; run benches/peers/venv.sh, or set CENTROIDS_PEERS_VENV" >&2
  exit 1
fi
# fast-reid's evaluator, from its wheel: compiled by Cython, it needs nothing else of fast-reid.
peer="$venv/fastreid-rank"
if ! ls "$peer"/rank_cy*.so >/dev/null 2>&1; then
  mkdir -p "$peer"
  "$venv/bin/python" -m pip install --quiet Cython==3.1.4 setuptools
  "$venv/bin/python" -m pip download --quiet --no-deps --dest "$peer" fastreid==1.4.0
  "$venv/bin/python" -m zipfile --extract "$peer"/fastreid-*.whl "$peer/wheel"
  cp "$peer/wheel/fastreid/evaluation/rank_cylib/rank_cy.pyx" "$peer"
  (cd "$peer" && CFLAGS="-O3 -march=native -I$("$venv/bin/python" -c 'import numpy; print(numpy.get_include())')" \
    "$venv/bin/cythonize" --quiet --inplace rank_cy.pyx)
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"
cargo build --quiet --locked --release --manifest-path "$root/Cargo.toml" \
  --workspace --example evaluate_speed
PYTHONPATH="$peer" exec "$venv/bin/python" "$here/run.py" \
  --binary "$CARGO_TARGET_DIR/release/examples/evaluate_speed" "$@"
