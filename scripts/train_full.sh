#!/usr/bin/env bash
# The NPU port's test/train_full_8p.sh: DukeMTMC-reID, 120 epochs, evaluation.
#
#   scripts/train_full.sh --data_path=DIR [--device_id=N] [KEY VALUE ...]
#
# --data_path   the folder DukeMTMC-reID, or the one above it
# --device_id   the GPU cuda:N; without it the CPU. --device=rocm:0 and the like name others
# --devices     devices that train together, 1 by default; more want mpirun and --features mpi
# --output      run folder, logs/dukemtmcreid/256_resnet50 by default; a run that is there goes on
# KEY VALUE     settings that come last and win, e.g. MODEL.PRETRAIN_PATH resnet50-19c8e357.pth
#
# Ends with the port's summary. Its accuracy is the reference's: mAP by centroids of the last weights
# under the protocol as published. Above it stand the honest figures.
set -euo pipefail
# shellcheck source=scripts/port.sh
source "$(dirname "$0")/port.sh"

output=logs/dukemtmcreid/256_resnet50
read_arguments "$@"
find_command

if [[ -f $output/config.toml ]]; then
  echo "going on with the run in $output and its settings" >&2
  "${launcher[@]}" "$centroids" train --resume "$output"
else
  "${launcher[@]}" "$centroids" train --device "$device" \
    DATASETS.NAMES DukeMTMC-reID \
    DATASETS.ROOT_DIR "$data_path" \
    SOLVER.IMS_PER_BATCH 16 \
    SOLVER.MAX_EPOCHS 120 \
    TEST.IMS_PER_BATCH 32 \
    SOLVER.BASE_LR 0.00035 \
    OUTPUT_DIR "$output" \
    DATALOADER.USE_RESAMPLING False \
    SOLVER.EVAL_PERIOD 40 \
    "${pairs[@]}"
fi

# The last number of that name in what is read.
number() { sed -n "s/.*\"$1\":\([-+.0-9e]*\).*/\1/p" | tail -n 1; }

speed=$(number images_per_second <"$output/metrics.jsonl")
accuracy=$("$centroids" evaluate --json --quiet --device "${device%%,*}" \
  --run "$output/checkpoints/last.safetensors" --preset paper-as-published | number mAP)
echo "------------------ Final result ------------------"
printf 'Final Performance images/sec : %.2f\n' "$speed"
printf 'Final Train Accuracy : %.5f\n' "$accuracy"
echo "E2E Training Duration sec : $SECONDS"
echo
echo "Performance: images per second of the last epoch, with data loading. Accuracy: mAP by centroids,"
echo "protocol paper-as-published, only for comparison with published figures."
