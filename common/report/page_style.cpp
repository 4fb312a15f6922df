#include "common/report/page_style.h"

namespace consilium::report {

// Series colours keep their order under the common kinds of colour blindness and have 3:1 contrast
// with the ground.
const char kPageStyle[] = R"css(
:root { color-scheme: light dark;
  --ground: #fff; --panel: #f6f7f9; --text: #1b2027; --quiet: #5b6570; --rule: #dde1e6; --grid: #e8ebee;
  --good: #177245; --bad: #b3261e; --heat: #1f5fbf; --heat-strong: #fff;
  --s0: #1f5fbf; --s1: #c25e00; --s2: #1c8060; --s3: #a63d8f; --s4: #6d55c4; --s5: #b3364b; --s6: #3f7f98; --s7: #80692a; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171b; --panel: #1d2126; --text: #e6e9ed; --quiet: #9aa4af; --rule: #343b43; --grid: #2a3037;
  --good: #5cc28e; --bad: #ff8a80; --heat: #6ea2ff; --heat-strong: #0d1117;
  --s0: #6ea2ff; --s1: #f0a04b; --s2: #54c79a; --s3: #e284cd; --s4: #a996f5; --s5: #f2828f; --s6: #7fc4de; --s7: #cdb46a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, "DejaVu Sans", "Liberation Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 40px 0 6px; padding-top: 14px; border-top: 1px solid var(--rule); }
p { margin: 6px 0 10px; max-width: 78ch; }
.quiet, figcaption, .note { color: var(--quiet); }
.note { font-size: 13.5px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin: 22px 0 16px; }
.tile { background: var(--panel); border-radius: 10px; padding: 13px 16px; }
.tile b { display: block; font-size: 27px; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: 13px; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 10px 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 18px 6px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); font-size: 13px; vertical-align: bottom; }
tr.total td { font-weight: 650; } td.wrap { white-space: normal; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr)); gap: 24px 30px;
  align-items: start; margin-top: 12px; }
figure { margin: 0; break-inside: avoid; }
figure.wide { grid-column: 1 / -1; }
figcaption { font-size: 13.5px; margin-top: 4px; }
figure h3 { font-size: 15px; margin: 0 0 4px; }
svg.plot { width: 100%; height: auto; display: block; max-width: 560px; }
svg.heat { width: auto; max-width: 100%; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; padding: 0; margin: 0 0 4px; font-size: 13px; }
.legend li { display: flex; align-items: center; gap: 6px; } .legend svg { width: 22px; height: 10px; }
.series-0 { --c: var(--s0); } .series-1 { --c: var(--s1); } .series-2 { --c: var(--s2); } .series-3 { --c: var(--s3); }
.series-4 { --c: var(--s4); } .series-5 { --c: var(--s5); } .series-6 { --c: var(--s6); } .series-7 { --c: var(--s7); }
.series-reference { --c: var(--quiet); }
.line { stroke: var(--c); fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.line.emphasized { stroke-width: 2.8; } .line.dashed { stroke-dasharray: 5 4; }
.marker, .bar { fill: var(--c); } .band { fill: var(--c); fill-opacity: 0.14; }
.grid { stroke: var(--grid); } .axis { stroke: var(--quiet); }
text { font-family: inherit; fill: var(--text); } text.tick { font-size: 11.5px; fill: var(--quiet); }
text.label { font-size: 12px; fill: var(--quiet); } text.cell-text { font-size: 12.5px; }
text.cell-text.strong { fill: var(--heat-strong); } .cell { fill: var(--heat); } .cell.none { fill: var(--panel); }
.images { display: flex; flex-wrap: wrap; gap: 26px; margin: 12px 0; }
.images figure { display: flex; flex-wrap: wrap; gap: 6px; max-width: 316px; }
.images figcaption { flex-basis: 100%; }
.images img { width: 154px; height: 154px; image-rendering: pixelated; border-radius: 6px; background: #000; display: block; }
.images div { font-size: 12.5px; color: var(--quiet); text-align: center; }
pre, code { font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--panel); border-radius: 8px; padding: 12px 14px; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 10px 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
ul.gate { list-style: none; padding: 0; margin: 8px 0; }
@media (max-width: 620px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } }
@media print { :root { color-scheme: light; } main { max-width: none; padding: 0; } h2 { break-after: avoid; }
  tr, .tile, figure { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
)css";

}  // namespace consilium::report
