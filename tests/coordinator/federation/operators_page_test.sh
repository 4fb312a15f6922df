#!/usr/bin/env bash
# Runs the commands of the operators' page as they are written there, with the real programs, in a folder of their own.
# Usage: operators_page_test.sh PROGRAMS PAGE
set -euo pipefail
programs=$(realpath "$1")
page=$(realpath "$2")

folder=$(mktemp -d)
cleanup() {
  # Background programs of the page belong to the group of its shell.
  if [ -n "${page_shell:-}" ]; then kill -- "-$page_shell" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap cleanup EXIT

# The block after the mark.
awk '/<!-- operators_page_test:/ { marked = 1; next }
     marked && /^```sh$/ { inside = 1; next }
     inside && /^```$/ { exit }
     inside { print }' "$page" > "$folder/commands.sh"
commands=$(grep -cE '^ *consilium' "$folder/commands.sh")
if [ "$commands" -lt 15 ]; then
  echo "the page's block was not found, or is too short: $commands commands"
  exit 1
fi

# As written, unless another program of this machine has the page's port.
if (exec 3<> /dev/tcp/127.0.0.1/8443) 2>/dev/null; then
  port=$((20000 + RANDOM % 10000))
  echo "port 8443 is taken here: with $port instead"
  sed -i "s/8443/$port/g" "$folder/commands.sh"
fi

cd "$folder"
export PATH="$programs:$PATH" HOME="$folder"
unset CONSILIUM_STATE CONSILIUM_PASSPHRASE_FILE CONSILIUM_ROOT_PASSPHRASE_FILE
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
set +e
set -m  # a group of its own
timeout --foreground 400 bash -e commands.sh > output 2>&1 < /dev/null &
page_shell=$!
set +m
wait "$page_shell"
code=$?
set -e
cat output

fail() {
  echo "FAILED: $1"
  for log in *.log; do echo "--- $log"; tail -n 30 "$log"; done
  exit 1
}
[ "$code" -eq 0 ] || fail "the commands ended with $code"
expect() { grep -qE -- "$1" output || fail "nothing in the output says \"$1\""; }
expect 'admitted north; roster version 2'
expect 'admitted east, south, ada; roster version 3'
expect 'south +site .* member'
expect 'published'
expect 'verified: '
expect 'entries follow on each other'
expect 'north signed the head after entry'
expect '"south" is revoked.*roster version 4 is without it'
roster=$(tac output | sed '/^roster version/q')
echo "$roster" | grep -q '^roster version 4' || fail "the last roster shown is not version 4"
if echo "$roster" | grep -q '^south'; then fail "the last roster still lists south"; fi

# No private key lies bare.
if grep -rl -- '-----BEGIN PRIVATE KEY' . ; then fail "a private key is not wrapped"; fi
echo "the page's $commands commands ran as written"
