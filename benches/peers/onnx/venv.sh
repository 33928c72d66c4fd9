#!/usr/bin/env bash
# Makes the Python environment of check.py (about 250 MB; that of ../venv.sh serves as well).
#
#   benches/peers/onnx/venv.sh [DIR]    default: $CENTROIDS_PEERS_VENV, else ~/.cache/centroids-onnx
set -euo pipefail

dir="${1:-${CENTROIDS_PEERS_VENV:-$HOME/.cache/centroids-onnx}}"
[ -x "$dir/bin/python" ] || python3 -m venv "$dir"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$dir/bin/python" -m pip install --quiet \
  numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 safetensors==0.8.0
