#!/bin/sh
# Installs what peers.js compares Lockstep with into a virtual environment of Python. What cannot be had is reported
# and left out; the comparison then does without it.
#
#   sh scripts/peers/install.sh [--dir FOLDER]
set -u

folder=$(dirname "$0")/.venv
while [ $# -gt 0 ]; do
  case $1 in
    --dir)
      folder=${2:?--dir needs a folder}
      shift 2
      ;;
    *)
      echo "usage: $0 [--dir FOLDER]" >&2
      exit 2
      ;;
  esac
done

python3 -m venv "$folder" || exit 1
python=$folder/bin/python

missing=
# TensorFlow first decides which numpy.
for package in 'torch==2.13.*' 'tensorflow-cpu==2.21.*' numpy 'ray[train]'; do
  echo "installing $package"
  "$python" -m pip install --quiet --retries 0 "$package" || missing="$missing $package"
done

# What one of them needs may have taken another's place.
"$python" -m pip check || echo 'the packages above disagree: install one of them elsewhere, with --dir' >&2

if [ -n "$missing" ]; then
  echo "could not be installed, and will be left out:$missing" >&2
fi
echo "run: node scripts/peers.js --python $python"
