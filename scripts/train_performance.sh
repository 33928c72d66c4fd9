#!/usr/bin/env bash
# The NPU port's test/train_performance_1p.sh: DukeMTMC-reID, two epochs, no evaluation.
#
#   scripts/train_performance.sh --data_path=DIR [--device_id=N] [KEY VALUE ...]
#
# --data_path   the folder DukeMTMC-reID, or the one above it
# --device_id   the GPU cuda:N; without it the CPU. --device=rocm:0 and the like name others
# --devices     devices that train together, 1 by default; more want mpirun and --features mpi
# --output      folder of train.log and the case log, logs/performance by default
# KEY VALUE     settings that come last and win, e.g. MODEL.NAME resnet18
set -euo pipefail
# shellcheck source=scripts/port.sh
source "$(dirname "$0")/port.sh"

output=logs/performance
read_arguments "$@"
find_command
mkdir -p "$output"

"${launcher[@]}" "$centroids" bench train --data "$data_path" --device "$device" --devices "$devices" \
  --out "$output" \
  DATASETS.NAMES DukeMTMC-reID \
  SOLVER.IMS_PER_BATCH 16 \
  SOLVER.MAX_EPOCHS 2 \
  TEST.IMS_PER_BATCH 32 \
  SOLVER.BASE_LR 0.00035 \
  DATALOADER.USE_RESAMPLING False \
  "${pairs[@]}" | tee "$output/train.log"
