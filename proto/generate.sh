#!/usr/bin/env bash
# Writes the Python of all protocols.
#   usage: generate.sh FOLDER_OF_TOOLS OUTPUT_FOLDER
set -euo pipefail
tools=$(cd "$1" && pwd) output=$2
cd "$(dirname "$0")/.."
rm -rf "$output/sanderling/api"
mkdir -p "$output"
mapfile -t protos < <(cd proto && find sanderling -name '*.proto' | LC_ALL=C sort)
PATH=$tools:$PATH "$tools/python" -m grpc_tools.protoc -I proto --python_out="$output" --grpc_python_out="$output" \
  --mypy_out="quiet:$output" --mypy_grpc_out="quiet:$output" "${protos[@]}"
find "$output/sanderling/api" -type d -exec touch {}/__init__.py \;
