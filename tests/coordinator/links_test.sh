#!/bin/sh
# The coordinator's program must not load LibTorch or DCMTK, directly or through another library.
set -eu
program="${CONSILIUM_BIN:?}/consilium-coordinator"
libraries=$(ldd "$program")
echo "$libraries" | grep -q libgrpc || { echo "the loader shows no libgrpc: ldd does not work here"; exit 1; }
if found=$(echo "$libraries" | grep -iE 'torch|libc10|libdcm|liboflog|libofstd'); then
  echo "consilium-coordinator loads what it must not:"
  echo "$found"
  exit 1
fi
