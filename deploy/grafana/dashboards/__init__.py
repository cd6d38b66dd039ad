"""Grafana dashboards as code: `python -m dashboards FOLDER` writes them as JSON."""
