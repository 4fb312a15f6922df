#!/bin/sh
# Opens the report of the golden results in headless Chromium: no console message, all figures drawn, a picture that is not
# blank. Usage: report_browser_test.sh CONSILIUM_EXPERIMENT GOLDEN_RESULTS. Exits with 77 (skipped) without Chromium.
set -eu
chromium=$(command -v chromium || command -v chromium-browser || true)
[ -n "$chromium" ] || { echo "skipped: chromium is not installed"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$2" "$folder/results.json"
"$1" report --from "$folder"

browse() {
  timeout 100 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
    --user-data-dir="$folder/profile" --window-size=1200,4200 --enable-logging=stderr --v=0 "$@" \
    "file://$folder/report.html" 2> "$folder/stderr"
}
fail() { echo "FAILED: $1"; exit 1; }

browse --dump-dom > "$folder/dom.html" || fail "chromium could not open the report: $(tail -3 "$folder/stderr")"
if grep 'CONSOLE' "$folder/stderr"; then fail "the page wrote to the console (above)"; fi
lines=$(grep -o '<polyline[^>]*points="[^"]* [^"]*"' "$folder/dom.html" | wc -l)
bars=$(grep -o '<rect class="bar' "$folder/dom.html" | wc -l)
cells=$(grep -o '<rect class="cell"' "$folder/dom.html" | wc -l)
[ "$lines" -ge 17 ] || fail "only $lines lines in the plots"
[ "$bars" -ge 20 ] || fail "only $bars bars"
[ "$cells" -eq 20 ] || fail "$cells cells in the validation matrix instead of 20"
if grep -q 'no data' "$folder/dom.html"; then fail "a plot is empty"; fi
grep -qE '(NaN|nan|inf)[,"]' "$folder/dom.html" && fail "a plot holds a number that is none"

browse --screenshot="$folder/report.png" > /dev/null || fail "no picture: $(tail -3 "$folder/stderr")"
size=$(wc -c < "$folder/report.png")
[ "$size" -gt 100000 ] || fail "the picture has only $size bytes: is the page blank?"
echo "drawn: $lines lines, $bars bars, $cells cells; picture of $size bytes"
