"""Grafana dashboards as code: `python -m kappi_dashboards FOLDER` writes them as JSON."""
