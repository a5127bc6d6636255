"""The page of several models side by side, as a Jinja template; report_page.py fills it."""

COMPARISON = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ heading }} – Polyseme</title>
{% include "style" %}
</head>
<body>
{% from "macros" import gallery with context %}<header><h1>{{ heading }}</h1></header>
<table>
<tr><th>Model</th><th>Family</th><th>Outcome</th><th>Pushed version</th>
<th class="n">Steps</th></tr>
{% for model in models %}
<tr><td>{{ model.heading }}</td><td>{{ model.inputs.family }}</td>
<td class="{{ model.status[0] }}">{{ model.status[1] }}</td>
<td>{{ model.inputs.version or "none" }}</td>
<td class="n">{{ model.last.step|number if model.last else "–" }}</td></tr>
{% endfor %}
</table>
<p>Perplexities of different families cannot be compared with each other: each is of other units
(words, masked pieces of words, pieces of words). Compare each with its own baseline.</p>

{% for model in models %}
{% with inputs=model.inputs, overall=model.overall, previous=model.previous,
        metrics=model.metrics, pictures=model.pictures %}
<h2>Figures of {{ model.heading }}</h2>
{% for sentence in inputs.unreadable %}<p class="bad">{{ sentence }}</p>{% endfor %}
{% include "figures" %}
{% endwith %}
{% endfor %}

<h2>Example predictions</h2>
{% for model in models %}
{% with inputs=model.inputs %}
{% if inputs.predictions %}
<h3>{{ model.heading }}</h3>
{% include "predictions" %}
{% endif %}
{% endwith %}
{% endfor %}

<h2>One word, two meanings: all models</h2>
<p>Gap: mean cosine between two occurrences of the word in one meaning, less that in two. Layer 0
knows no neighbour, so that it cannot tell the meanings apart; a gap that grows with the layers is
what the context tells.</p>
{{ gallery("bank") }}

{% for model in models %}
{% with inputs=model.inputs, similarities=model.similarities, pictures=model.pictures %}
<h2>One word, two meanings: {{ model.heading }}</h2>
{% include "bank" %}
{% endwith %}
{% endfor %}
</body>
</html>
"""
