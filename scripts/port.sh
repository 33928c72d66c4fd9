# shellcheck shell=bash
# What train_performance.sh and train_full.sh share: the arguments of the NPU port's scripts, and the
# command. Sourced, not run. The caller sets `output` first.

fail() {
  echo "error: $*" >&2
  exit 1
}

# Sets data_path, device, devices, launcher, output and pairs for the caller.
# shellcheck disable=SC2034
read_arguments() {
  data_path=""
  device=cpu
  devices=1
  pairs=()
  while (($#)); do
    case $1 in
      --data_path=*) data_path=${1#*=} ;;
      --device_id=*) device=cuda:${1#*=} ;;
      --device=*) device=${1#*=} ;;
      --devices=*) devices=${1#*=} ;;
      --output=*) output=${1#*=} ;;
      --data_path | --device_id | --device | --devices | --output)
        (($# > 1)) || fail "$1 needs a value: $1=…"
        set -- "$1=$2" "${@:3}"
        continue
        ;;
      -*) fail "unknown option $1; known are --data_path, --device_id, --device, --devices, --output" ;;
      *) pairs+=("$1") ;;
    esac
    shift
  done
  [[ -n $data_path ]] || fail "say where the images are: --data_path=DIR"
  [[ -d $data_path ]] || fail "--data_path: $data_path is not a folder"
  launcher=()
  ((devices == 1)) || several
}

# Sets launcher, MPIRUN or mpirun, and device: a list of the one named and those after it.
several() {
  read -ra launcher <<<"${MPIRUN:-mpirun}"
  command -v "${launcher[0]}" >/dev/null ||
    fail "--devices $devices: several devices want mpirun (Debian: openmpi-bin), or MPIRUN with its name"
  launcher+=(-n "$devices")
  if [[ $device == *:* ]]; then
    local first=${device##*:}
    device=$(seq -s, -f "${device%%:*}:%g" "$first" $((first + devices - 1)))
  fi
}

# Sets centroids: $CENTROIDS, else the command on the PATH, else the one built here.
find_command() {
  local built
  built="$(dirname "${BASH_SOURCE[0]}")/../target/release/centroids"
  centroids=${CENTROIDS:-$(command -v centroids || echo "$built")}
  command -v "$centroids" >/dev/null ||
    fail "no command centroids; run 'cargo build --release --workspace' or set CENTROIDS to it"
}
