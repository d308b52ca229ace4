"""A notebook as one HTML file that needs nothing else: no network, no script. Equations are MathML,
which every browser draws by itself; widgets show the state in which the notebook left them; figures
keep their alt text; where the reader's system is dark, so is the page.
"""

import copy
import re
from html import escape

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
NOTE = (
    "A live control: in JupyterLab (make lab) it can be moved. Here it shows where the notebook "
    "left it."
)
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block input_group %}
{% if cell.metadata.get("jupyter", {}).get("source_hidden") %}
<details class="folded"><summary>code</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}{% endblock %}
{% block notebook_css %}{{ super() }}
{{ resources.include_css("static/theme-dark.css")
   | replace('<style type="text/css">', '<style>@media (prefers-color-scheme: dark) {')
   | replace('</style>', 'body { color-scheme: dark; }}</style>') }}
<style>main { max-width: 72em; margin: auto; }
.jp-InputArea-editor .highlight pre { white-space: pre-wrap; }
.jp-OutputArea-output .highlight pre {
  font-family: var(--jp-code-font-family); font-size: var(--jp-code-font-size);
}
details.folded { margin-left: 64px; }
details.folded summary { color: #767676; cursor: pointer; font-size: 85%; }</style>{% endblock %}
{% block data_png %}<div class="jp-RenderedImage jp-OutputArea-output">
{% set alt = output | get_metadata('alt', 'image/png') %}
<img src="data:image/png;base64,{{ output.data['image/png'] }}"
{%- if alt %} alt="{{ alt | forceescape }}"{% endif %}>
</div>{% endblock %}
"""


def html(notebook, title: str) -> str:
    """The page of an executed notebook (nbformat)."""
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    notebook = copy.deepcopy(notebook)
    notebook.metadata["title"] = title
    widgets = notebook.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    for output in (
        o for cell in notebook.cells for o in cell.get("outputs", ()) if VIEW in o.get("data", {})
    ):
        view = output.data.pop(VIEW)
        if output.data.keys() <= {"text/plain"}:  # nothing but the widget: draw what its state says
            output.data["text/html"] = (
                f"<div>{still(view['model_id'], widgets)}<p><small>{NOTE}</small></p></div>"
            )
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"page.html.j2": TEMPLATE})],
        template_file="page.html.j2",
        filters={"markdown2html": _markdown},
    )
    exporter.log.setLevel("ERROR")
    text, _ = exporter.from_notebook_node(notebook)
    return re.sub(
        r'(href="[^":/]+)\.(?:ipynb|py)(["#])', r"\1.html\2", text
    )  # a link to another notebook leads to its page


def still(model: str, widgets: dict) -> str:
    """The HTML of a widget as its saved state describes it: pictures, texts, and controls as "name:
    value"."""
    entry = widgets.get(model.removeprefix("IPY_MODEL_"))
    if entry is None:
        return ""
    state, kind = entry["state"], entry["model_name"]
    if children := state.get("children"):
        row = (
            "display:flex;flex-wrap:wrap;gap:0 1.5em;align-items:center"
            if kind == "HBoxModel"
            else ""
        )
        return f'<div style="{row}">{"".join(still(child, widgets) for child in children)}</div>'
    if kind == "OutputModel":
        return "".join(_output(output) for output in state.get("outputs", ()))
    if pictures := [b["data"] for b in entry.get("buffers", ()) if kind == "ImageModel"]:
        return _picture(pictures[0], state.get("tooltip"))
    if state.get("_data_url"):  # ipympl's canvas
        return _picture(state["_data_url"].partition(",")[2], None)
    if kind == "HTMLModel":
        return f"<div>{state.get('value', '')}</div>"
    if kind == "PlayModel" or "description" not in state and "value" not in state:
        return ""
    options, index = state.get("_options_labels"), state.get("index")
    value = options[index] if options and isinstance(index, int) else state.get("value", "")
    value = f"{value:.4g}" if isinstance(value, float) else value
    words = [
        escape(str(word)) for word in (state.get("description"), value) if word not in (None, "")
    ]
    return f"<div>{': '.join(words)}</div>"


def _output(output: dict) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return _picture(
            data["image/png"], output.get("metadata", {}).get("image/png", {}).get("alt")
        )
    if "text/html" in data:
        return data["text/html"]
    if "text/markdown" in data:
        return _markdown(data["text/markdown"])
    return f"<pre>{escape(data.get('text/plain') or output.get('text', ''))}</pre>"


def _picture(png: str, alt: str | None) -> str:
    alt = escape(alt or "the picture that this control changes")
    return f'<img src="data:image/png;base64,{png.strip()}" alt="{alt}">'


def _markdown(source: str) -> str:
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body):
            return _mathml(body, "inline")

        def block_math(self, body):
            return _mathml(body, "block")

        def latex_environment(self, name, body):
            return _mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    return MarkdownWithMath(renderer=Renderer(escape=False)).render(source)


def _mathml(tex: str, display: str) -> str:
    from latex2mathml.converter import convert

    try:
        return convert(
            tex.replace("{aligned}", "{split}"), display=display
        )  # it knows the same by the other name
    except Exception:  # its parser raises many kinds; the source of an equation is still readable
        return f"<code>{escape(tex)}</code>"
