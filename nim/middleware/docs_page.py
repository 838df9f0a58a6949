"""The page /docs: Swagger UI for the service's OpenAPI document.

The engine's own page has another program's name, and an icon from the internet.
"""

from html import escape

from nim.plan import Model

# The browser enforces that nothing is loaded from elsewhere.
HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nim: {title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/swagger-ui.css">
</head>
<body>
<div id="swagger-ui">
<p>This page needs the engine, which is not up yet: <a href="v1/health/ready">how far it is</a>.
What the service answers already is in <a href="openapi.json">openapi.json</a>.</p>
</div>
<script src="static/swagger-ui-bundle.js"></script>
<script>
if (window.SwaggerUIBundle) SwaggerUIBundle({{
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
}});
</script>
</body>
</html>
"""


def docs_page(model: Model) -> str:
    """Return the HTML of Swagger UI with the model's name; addresses are relative for proxies."""
    return _PAGE.format(title=escape(model.served_names[0] if model.served_names else model.name))
