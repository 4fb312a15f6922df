#!/bin/sh
# Asks the dynamic linker whether a program of the coordinator's side pulls in LibTorch or DCMTK.
# Usage: coordinator_libraries_test.sh PROGRAM...
set -eu
for program in "$@"; do
  libraries=$(ldd "$program")
  echo "$libraries" | grep -q 'libc\.so' || { echo "$program: ldd named no libraries"; exit 1; }
  if echo "$libraries" | grep -E 'libtorch|libc10|libdcm|libofstd|libopenblas|libblas'; then
    echo "$program links what a coordinator must not (above)"
    exit 1
  fi
  echo "$program links neither LibTorch nor DCMTK"
done
