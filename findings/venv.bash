# Sourced with a list of pinned packages: installs them into a temporary folder that goes when the
# script ends, and names its Python "$python". PYTHON chooses the interpreter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
python=$folder/venv/bin/python
"$python" -m pip install --quiet --disable-pip-version-check "$@" 2>"$folder/pip.log" || {
  cat "$folder/pip.log"
  exit 2
}
cd "$folder"
