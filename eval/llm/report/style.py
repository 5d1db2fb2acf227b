"""The look of the report: readable in light and dark, six colours that also those who see fewer can tell apart."""

from __future__ import annotations

# Colours after Okabe & Ito, "Color Universal Design" (2008), darkened for small dots on white.
STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d8dde3;--band:#f5f7f9;--back:#fff;--good:#2f7d5b;
--c0:#5b6570;--c1:#0072b2;--c2:#d55e00;--c3:#009e73;--c4:#b0589a;--c5:#a87900}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4af;--line:#353c45;--band:#1a1e23;--back:#14171b;
--good:#58b58a;--c0:#9aa4af;--c1:#56b4e9;--c2:#f0883e;--c3:#2cc295;--c4:#d58cc0;--c5:#e0b040}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:66rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.4rem;border-top:1px solid var(--line);
padding-top:1rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}h4{font-weight:400;color:var(--soft);margin:.8rem 0 .2rem}
p.lead{margin:.2rem 0}p.soft{margin:.1rem 0;font-size:.9rem}.soft{color:var(--soft)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%;font-size:.85rem}
table{margin-top:1rem}th,td{text-align:right;padding:.25rem .4rem;border-bottom:1px solid var(--line);vertical-align:bottom}
td:first-child{white-space:nowrap}th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--soft)}
.scroll{overflow-x:auto}.warn{border-left:3px solid var(--c2);padding:.3rem .3rem .3rem 1.6rem;margin:.8rem 0}
svg.chart{width:100%;min-width:46rem;height:auto;display:block}
svg text{font:12px system-ui,sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}
svg text.soft{fill:var(--soft);font-size:11px}.grid{stroke:var(--line)}.zero{stroke:var(--ink)}.band{fill:var(--band)}
.whisker{stroke-width:2.5;opacity:.55;stroke-linecap:round}.line{fill:none;stroke-width:1.8}
.dot{stroke:var(--back);stroke-width:1}
.dot.c0{fill:var(--c0)}.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot.c3{fill:var(--c3)}.dot.c4{fill:var(--c4)}
.dot.c5{fill:var(--c5)}
.whisker.c0,.line.c0{stroke:var(--c0)}.whisker.c1,.line.c1{stroke:var(--c1)}.whisker.c2,.line.c2{stroke:var(--c2)}
.whisker.c3,.line.c3{stroke:var(--c3)}.whisker.c4,.line.c4{stroke:var(--c4)}.whisker.c5,.line.c5{stroke:var(--c5)}
.legend span{margin-right:1.2rem;white-space:nowrap}.key{width:.7em;height:.7em;margin-right:.35em}
details{margin:.4rem 0}summary{cursor:pointer}blockquote{margin:.4rem 0 .8rem;padding:.3rem .8rem;
border-left:3px solid var(--line);white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9rem}
blockquote.question{border-color:var(--c1)}li.right{font-weight:600;color:var(--good)}
table.said td{white-space:normal;text-align:left;vertical-align:top}table.said td:first-child{width:9rem;color:var(--soft)}
pre{overflow-x:auto;font-size:.85rem;border:1px solid var(--line);padding:.8rem}
"""
