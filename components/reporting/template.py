"""The pages as Jinja templates; report_page.py fills them."""

from components.reporting.comparison_template import COMPARISON
from components.reporting.style import STYLE

_MACROS = """\
{% macro cells(values) %}
{% for value in values %}<td class="n">{{ value|number }}</td>{% endfor %}
{% endmacro %}
{% macro heads(names) %}
{% for name in names %}<th class="n">{{ name|title }}</th>{% endfor %}
{% endmacro %}
{% macro figures_of(figures) %}
{% for metric in metrics %}<td class="n">{{ figures.get(metric.name)|number }}</td>{% endfor %}
{% endmacro %}
{% macro gallery(name) %}
{% if pictures[name] %}
<div class="pictures">
{% for picture in pictures[name] %}
<div class="picture">{{ picture }}</div>
{% endfor %}
</div>
{% endif %}
{% endmacro %}
"""

_FIGURES = """\
{% from "macros" import gallery with context %}
{% if overall %}
<p>On the split "test", all examples together. The baselines know frequencies in the training text
and nothing else: of words (unigram), of words after the one before (bigram), of labels
(majority).</p>
<div class="scroll"><table>
<tr><th>Figure</th><th class="n">This model</th><th class="n">Baseline</th><th></th>
<th class="n">Last blessed</th><th class="n">Change</th><th>Needed for the blessing</th></tr>
{% for metric in metrics %}
<tr><td>{{ metric.name|title }}</td><td class="n strong">{{ metric.name|figure(inputs) }}</td>
<td class="n">{{ overall.get(metric.baseline)|number }}</td>
<td class="quiet">{{ metric.baseline|title if metric.baseline else "" }}</td>
<td class="n">{{ previous.get(metric.name)|number }}</td>
<td class="n">{{ inputs.changes.get(metric.name)|change }}</td><td>{{ metric|bounds }}</td></tr>
{% endfor %}
</table></div>
{% if inputs.resampled %}<p class="quiet">{{ inputs.resampled }}</p>{% endif %}
{{ gallery("evaluation") }}
{% if not previous %}<p class="quiet">No earlier blessed model to compare with.</p>{% endif %}
{% else %}
<p class="quiet">This run has no evaluation.</p>
{% endif %}
"""

_PREDICTIONS = """\
{% if inputs.predictions %}
<div class="scroll"><table>
<caption>Sentences of documents that were held out for the test</caption>
<tr><th>Asked</th><th>Answer, and its probability where it has one</th><th>In the text</th></tr>
{% for prediction in inputs.predictions %}
<tr><td class="text">{% for text in prediction.texts %}{{ text }}<br>{% endfor %}</td>
<td class="text">{% for word, share in prediction.answers %}
{% if share == share %}
{{ word }} <span class="quiet">{{ "%.2f"|format(share) }}</span>{{ "" if loop.last else "," }}
{% else %}
{{ word }}
{% endif %}
{% endfor %}</td>
<td class="text quiet">{{ prediction.expected }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p class="quiet">Nothing was asked: there is no exported model, it answers no such question, or the
held-out text has no short sentence.</p>
{% endif %}
"""

_BANK = """\
{% from "macros" import gallery with context %}
{% if inputs.bank %}
<p>“{{ inputs.bank.word }}” in {{ inputs.bank.sentences|length }} sentences. A static embedding has
one vector for the word, whatever is meant; the model gives it another in each sentence. The
sentences come in pairs with the word at the same place, so that its place alone cannot tell the
meanings apart.</p>
{{ gallery("bank") }}
<p>Both maps show the first two principal components of the vectors at unit length, in one scale.
Layer 0 knows no neighbour but may hold the position and the segment (BERT adds them), so the static
vector is the mean of layer 0 over the sentences: the star; the grey dots around it differ by
position only. A word of several tokens is the mean of their vectors.</p>
<div class="scroll"><table>
<caption>Mean cosine between two occurrences, by layer</caption>
<tr><th class="n">Layer</th>
{% for sense in similarities[0].within %}<th class="n">within {{ sense }}</th>{% endfor %}
<th class="n">between</th><th class="n">gap</th><th class="n">by chance</th></tr>
{% for row in similarities %}
<tr><td class="n">{{ row.layer }}</td>
{% for value in row.within.values() %}<td class="n">{{ "%.3f"|format(value) }}</td>{% endfor %}
<td class="n">{{ "%.3f"|format(row.between) }}</td>
<td class="n strong">{{ "%.3f"|format(row.gap) }}</td>
<td class="n">{{ "%.3f"|format(row.chance) }}</td></tr>
{% endfor %}
</table></div>
<p class="quiet">Gap: mean cosine within the senses less that between them. Each two sentences are a
pair of like build, and are not compared with each other. By chance: the share of all ways to swap
senses within the pairs that have at least this gap; near 0 means that the model tells the senses
apart.</p>
<ol>
{% for sentence in inputs.bank.sentences %}
{% set pieces = inputs.bank.pieces[loop.index0] %}
<li>{{ sentence }} <span class="quiet">({{ inputs.bank.senses[loop.index0] }}
{%- if pieces|length > 1 %}, read as {{ pieces|join(" ") }}{% endif %})</span></li>
{% endfor %}
</ol>
{% else %}
<p class="quiet">No exported model to ask.</p>
{% endif %}
"""

_TUNING = """\
{% from "macros" import gallery with context %}
{% with search=inputs.search %}
<p>{{ search.trials|length }} trials of {{ search.steps|number }} steps ({{ search.algorithm }}
search), judged by the loss on the split "eval". The training has the values of the best one. The
schedule of a trial is the training's with fewer steps: its warmup is shorter in proportion.</p>
<div class="scroll"><table>
<tr><th class="n">Trial</th>
{% for field in search.trials[0]["values"] %}<th class="n">{{ field|short|title }}</th>{% endfor %}
<th class="n">Held-out loss</th><th></th></tr>
{% for trial in search.trials %}
<tr{% if trial == search.best %} class="strong"{% endif %}><td class="n">{{ trial.number }}</td>
{% for value in trial["values"].values() %}<td class="n">{{ value|shown }}</td>{% endfor %}
<td class="n">{{ "–" if trial.held_out_loss is none else "%.4f"|format(trial.held_out_loss) }}</td>
<td class="text">{{ "best" if trial == search.best else trial.failure }}</td></tr>
{% endfor %}
</table></div>
{% endwith %}
{{ gallery("tuning") }}
"""

_REPORT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ heading }} – Polyseme</title>
{% include "style" %}
</head>
<body>
{% from "macros" import cells, heads, figures_of, gallery with context %}
<header>
<h1>{{ heading }}</h1>
<span class="status {{ status[0] }}">{{ status[1] }}</span>
</header>
{% if inputs.at_work %}
<p class="strong">The run is still at work. This page shows what it had done at
{{ inputs.at_work }}.</p>
{% endif %}
{% for sentence in inputs.unreadable %}<p class="bad">{{ sentence }}</p>{% endfor %}
{% for sentence in inputs.reasons|list + inputs.notes|list %}<p>{{ sentence }}</p>{% endfor %}

<table>
<tr><th scope="row">Run</th><td>{{ inputs.run_id or "–" }}</td></tr>
<tr><th scope="row">Recipe</th><td>{{ inputs.recipe }}</td></tr>
<tr><th scope="row">Corpus fingerprint</th>
<td><code>{{ inputs.fingerprint or "–" }}</code></td></tr>
<tr><th scope="row">Code version</th><td><code>{{ inputs.code_version or "–" }}</code></td></tr>
<tr><th scope="row">Pushed version</th><td>{{ inputs.version or "none" }}</td></tr>
</table>

<h2>Figures</h2>
{% include "figures" %}

{% if inputs.evaluation|length > 1 %}
<h3>By slice</h3>
{{ gallery("slices") }}
<div class="scroll"><table>
<tr><th>Slice</th>{{ heads(metrics|map(attribute="name")) }}</tr>
{% for slice, figures in inputs.evaluation.items() %}
<tr><td>{{ slice }}</td>{{ figures_of(figures) }}</tr>
{% endfor %}
</table></div>
{% for sentence in inputs.more_slices %}<p class="quiet">{{ sentence }}</p>{% endfor %}
{% endif %}

<h2>Over spans</h2>
{% if inputs.history|length > 1 %}
{{ gallery("history") }}
{% elif not inputs.history %}
<p class="quiet">No evaluated run yet.</p>
{% else %}
<p class="quiet">One run so far; the next span will stand beside it.</p>
{% endif %}
{% if inputs.history %}
<div class="scroll"><table>
<tr><th>Run</th><th>Blessed</th>{{ heads(metrics|map(attribute="name")) }}</tr>
{% for version in inputs.history %}
<tr><td>{{ version.label }}</td>
<td>{{ "–" if version.blessed is none else "yes" if version.blessed else "no" }}</td>
{{ figures_of(version.figures) }}</tr>
{% endfor %}
</table></div>
{% endif %}

<h2>Example predictions</h2>
{% include "predictions" %}

<h2>One word, two meanings</h2>
{% include "bank" %}

{% if inputs.search %}
<h2>Tuning</h2>
{% include "tuning" %}
{% endif %}

<h2>Training</h2>
{% if last %}
<p>{{ last.step|number }} steps; the last record has a loss of {{ last.loss|number }}
{%- for name, value in last.terms.items() %}, {{ name|title }} {{ value|number }}{% endfor %}.</p>
{% for first_step, platform in inputs.computed_on %}
<p class="quiet">Computed {{ "after step %d "|format(first_step) if first_step }}on {{ platform }}.
</p>
{% endfor %}
{{ gallery("training") }}
{% include "seeds" %}
{% else %}
<p class="quiet">This run has no training log.</p>
{% endif %}

<h2>Corpus</h2>
{% if inputs.corpus %}
<div class="tables">
<table>
<tr><th>Documents</th>{{ heads(inputs.corpus) }}</tr>
{% for label, values in facts %}
<tr><td>{{ label }}</td>{{ cells(values) }}</tr>
{% endfor %}
</table>
{% for heading, rows in lists %}
<table>
<tr><th>{{ heading }}</th>{{ heads(inputs.corpus) }}</tr>
{% for name, shares in rows %}
<tr><td>{{ name }}</td>
{% for share in shares %}<td class="n">{{ "%.1f"|format(100 * share) }} %</td>{% endfor %}
</tr>
{% endfor %}
</table>
{% endfor %}
</div>
{{ gallery("corpus") }}
{% else %}
<p class="quiet">This run read no corpus.</p>
{% endif %}
{% if inputs.quarantined %}
<table>
<caption>Quarantined records</caption>
{% for reason, count in inputs.quarantined.items() %}
<tr><td>{{ reason }}</td><td class="n">{{ count|number }}</td></tr>
{% endfor %}
</table>
{% else %}
<p>No record was quarantined.</p>
{% endif %}
{% if inputs.dropped %}
<div class="scroll"><table>
<caption>Documents that cleaning dropped</caption>
<tr><th>Reason</th><th class="n">Documents</th><th>For example</th></tr>
{% for item in inputs.dropped %}
<tr><td>{{ item.reason }}</td><td class="n">{{ item.count|number }}</td>
<td class="text">{% for identity, detail, start in item.examples %}
{{ identity }}: {{ detail }} <span class="quiet">{{ start }}</span><br>
{% endfor %}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>Cleaning dropped no document.</p>
{% endif %}
{% include "checks" %}

<h2>Steps</h2>
{% if inputs.steps %}
<table>
<tr><th>Component</th><th>State</th><th class="n">Seconds</th></tr>
{% for step in inputs.steps %}
<tr><td>{{ step.component }}</td><td>{{ step.state|lower }}</td>
<td class="n">{{ "–" if step.seconds is none else "%.1f"|format(step.seconds) }}</td></tr>
{% endfor %}
</table>
{% else %}
<p class="quiet">No step is on record.</p>
{% endif %}
</body>
</html>
"""

TEMPLATES = {
    "style": STYLE,
    "macros": _MACROS,
    "figures": _FIGURES,
    "predictions": _PREDICTIONS,
    "bank": _BANK,
    "tuning": _TUNING,
    "report": _REPORT,
    "comparison": COMPARISON,
}
"""By name: "report" is the page of one run, "comparison" that of several models."""
