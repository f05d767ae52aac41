#!/usr/bin/env bash
# build.sh TAG [ARGUMENT...]: builds the image with podman, or else docker; further arguments are passed on, such as
# --build-arg BASE_IMAGE=registry.example/python:3.13-slim. PIP_INDEX_URL and the proxies' variables are heeded.
set -euo pipefail
tag=$1
cd "$(dirname "$0")/../.."
tool=$(command -v podman || command -v docker) || { echo "podman or docker is needed" >&2; exit 2; }

version=$(python3 -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
# a tree with changes has no revision
revision=$(git diff --quiet HEAD -- && git rev-parse HEAD || true)
epoch=$(git log -1 --format=%ct)
arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE_DATE_EPOCH=$epoch")
[ -z "${PIP_INDEX_URL:-}" ] || arguments+=(--build-arg PIP_INDEX_URL)
# OCI's format has no health checks; docker takes the files' times from SOURCE_DATE_EPOCH
[ "${tool##*/}" = docker ] || arguments+=(--format docker --timestamp "$epoch")
exec "$tool" build --tag "$tag" "${arguments[@]}" "${@:2}" .
