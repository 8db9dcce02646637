"""Style sheet and script of the HTML report; both are written into the page, which loads nothing."""

from __future__ import annotations

CSS = """
:root { --ink: #1d2430; --soft: #5b6472; --line: #dfe3e8; --wash: #f5f7f9; --accent: #0b5cad; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1480px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 27px; line-height: 1.25; margin: 0 0 4px; font-weight: 650; }
h2 { font-size: 20px; margin: 0 0 2px; font-weight: 650; }
h3 { font-size: 14px; margin: 22px 0 8px; font-weight: 650; }
h3 small { font-weight: 400; color: var(--soft); font-size: 13px; margin-left: 8px; }
p { margin: 4px 0; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.soft { color: var(--soft); }
.note { color: var(--soft); font-size: 13px; max-width: 100ch; }
.note b { color: var(--ink); font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 14px 0 10px; }
th, td { padding: 6px 12px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 4px; }
thead th { font-weight: 500; color: var(--soft); font-size: 13px; }
thead tr:last-child th { border-bottom: 1px solid #b9c0ca; }
thead th.group { color: var(--ink); text-align: center; font-weight: 600;
  border-bottom: 1px solid var(--line); }
tbody td { border-bottom: 1px solid var(--line); }
td.first, th.first { padding-left: 26px; }
td.best { font-weight: 650; }
tr.shown td { background: #eef5fc; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 8px; }
.legend .key { margin: 0; }
section { border-top: 1px solid var(--line); margin-top: 40px; padding-top: 24px; }
nav { margin: 10px 0 0; font-size: 14px; }
nav a { display: inline-block; padding: 2px 10px; margin: 0 6px 6px 0; background: var(--wash);
  border: 1px solid var(--line); border-radius: 12px; }
.row { display: grid; grid-template-columns: repeat(var(--n), minmax(0, 1fr)); gap: 10px;
  align-items: start; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: 3px; cursor: zoom-in;
  box-shadow: 0 0 0 1px var(--line); }
.frame { position: relative; }
figcaption { font-size: 13px; padding-top: 4px; line-height: 1.4; }
figcaption b { font-weight: 600; }
figcaption span { color: var(--soft); font-variant-numeric: tabular-nums; }
.box { position: absolute; border: 1.5px solid #fff; outline: 1px solid #000; pointer-events: none; }
.box i { position: absolute; left: -3px; bottom: 100%; background: #000; color: #fff; padding: 0 5px;
  font: 600 12px/16px system-ui, sans-serif; }
.box.low i { bottom: auto; top: 100%; }
.crops { margin-top: 10px; }
.crops img { image-rendering: pixelated; }
.crops figcaption { font-size: 12px; }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 22px; margin-top: 8px;
  font-size: 13px; color: var(--soft); }
.legend > span { display: inline-flex; align-items: center; gap: 7px; }
.swatch { width: 14px; height: 14px; border-radius: 2px; display: inline-block; }
.bar { width: 170px; height: 12px; border: 1px solid #b9c0ca; display: inline-block; }
.wheel { width: 66px; height: 66px; background-size: 100%; display: inline-block; }
details { margin: 12px 0; }
.blocks { display: flex; flex-wrap: wrap; gap: 4px 48px; }
.blocks > div { flex: 0 1 560px; min-width: 0; }
.blocks .note { min-height: 3em; }
.blocks table { margin-top: 4px; }
summary { cursor: pointer; color: var(--accent); font-size: 14px; }
svg text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: 12px; }
footer { border-top: 1px solid var(--line); margin-top: 44px; padding-top: 14px; overflow-wrap: anywhere;
  font-size: 13px; color: var(--soft); }
dialog { border: 0; padding: 0; background: #16191e; color: #e8eaed; max-width: 98vw; max-height: 98vh; }
dialog::backdrop { background: rgb(10 12 15 / 85%); }
dialog img { display: block; width: min(96vw, calc(88vh * var(--aspect, 1.33))); }
dialog p { display: flex; justify-content: space-between; gap: 30px; margin: 0; padding: 8px 12px; }
dialog p span { color: #9aa3ae; }
@media (max-width: 760px) {
  .row { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  main { padding: 16px 12px; }
}
@media print { section { break-before: page; } nav, summary { display: none; } }
"""

SCRIPT = """
const view = document.querySelector('dialog'), big = view.querySelector('img');
let group = [], at = 0;
function show(n) {
  at = (n + group.length) % group.length;
  const image = group[at];
  big.src = image.src;
  big.style.imageRendering = image.naturalWidth < 250 ? 'pixelated' : 'auto';
  big.style.setProperty('--aspect', image.naturalWidth / image.naturalHeight);
  view.querySelector('b').textContent = image.alt;
}
document.querySelectorAll('figure img').forEach(image => image.addEventListener('click', () => {
  group = [...image.closest('.row').querySelectorAll('figure img')];
  show(group.indexOf(image));
  view.showModal();
}));
view.addEventListener('click', () => view.close());
document.addEventListener('keydown', event => {
  if (!view.open) return;
  if (event.key === 'ArrowRight') show(at + 1);
  if (event.key === 'ArrowLeft') show(at - 1);
});
"""
