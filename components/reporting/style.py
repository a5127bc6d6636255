"""How the report's pages look."""

STYLE = """\
<style>
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 1120px; background: #fff;
  color: #222; font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .6rem; border-bottom: 2px solid #222; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.status { padding: .15rem .7rem; border: 2px solid; border-radius: 1rem; font-weight: 600; }
.good { color: #00664b; } .bad { color: #a33c00; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .92rem; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; white-space: nowrap; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #ddd; }
td:first-child, .n { white-space: nowrap; }
td.text { white-space: normal; min-width: 14rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
th.n { white-space: normal; }
li { overflow-wrap: anywhere; }
.strong { font-weight: 700; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
  gap: 1rem; align-items: start; }
img { width: 100%; max-width: 560px; height: auto; }
.tables { display: flex; flex-wrap: wrap; gap: 0 3rem; align-items: flex-start; }
code { overflow-wrap: anywhere; font-size: .92em; }
.quiet { color: #595959; }
ol li { margin: .15rem 0; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3, caption { break-after: avoid; } img, tr, .picture { break-inside: avoid; }
  .scroll { overflow: visible; }
}
</style>
"""
