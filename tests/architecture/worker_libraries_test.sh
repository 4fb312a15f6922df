#!/usr/bin/env bash
# The worker that reads hostile files has nothing in it that it does not need: no torch, no gRPC, no SQLite.
# Asked of the dynamic linker, with the libraries of libraries.
set -euo pipefail

libraries=$(ldd "$1")
for forbidden in libtorch libc10 libgrpc libprotobuf libsqlite; do
  if grep -q "$forbidden" <<<"$libraries"; then
    echo "$1 links $forbidden" >&2
    exit 1
  fi
done
grep -q libseccomp <<<"$libraries"
