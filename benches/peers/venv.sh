#!/usr/bin/env bash
# Makes the Python environment of the peers and prints its versions; run again, it changes nothing.
#
#   benches/peers/venv.sh [DIR]    default: $CENTROIDS_PEERS_VENV, else ~/.cache/centroids-peers
#
# About 5 GB: the torch wheel does not import without the CUDA libraries that it links, even on a
# machine that has no GPU. Triton, the one large part that the CPU never loads, is left out.
set -euo pipefail

dir="${1:-${CENTROIDS_PEERS_VENV:-$HOME/.cache/centroids-peers}}"
torch=(torch==2.15.0 torchvision==0.29.2)
linked=(
  "cuda-toolkit[cublas,cudart,cufft,cufile,cupti,cusolver,cusparse,nvjitlink,nvrtc]==13.2.2"
  nvidia-cudnn-cu13==9.26.0.51 nvidia-cusparselt-cu13==0.8.1
  nvidia-nccl-cu13==2.30.7 nvidia-nvshmem-cu13==3.7.2
)
rest=(
  filelock==4.2.12 fsspec==2026.9.0 Jinja2==3.1.6 networkx==3.6.1 setuptools==84.2.1
  sympy==1.14.0 typing_extensions==4.16.0
  numpy==2.4.6 pillow==13.0.0 safetensors==0.8.0
  onnx==1.23.2 onnxruntime==1.32.0
)

[ -x "$dir/bin/python" ] || python3 -m venv "$dir"
pip() { PIP_DISABLE_PIP_VERSION_CHECK=1 "$dir/bin/python" -m pip install --quiet "$@"; }
pip --no-deps "${torch[@]}"
pip "${linked[@]}" "${rest[@]}" 2> >(grep -v -e triton -e 'dependency resolver' >&2)

"$dir/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch

names = ["torch", "torchvision", "onnx", "onnxruntime", "numpy", "pillow", "safetensors"]
print("\n".join(f"{name} {version(name)}" for name in names))
print("CPU capability:", torch.backends.cpu.get_cpu_capability())
PYTHON
