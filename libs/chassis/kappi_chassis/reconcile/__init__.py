"""Compares what a service stores with what others have, and repairs differences (ADR-0064)."""

from kappi_chassis.reconcile.check import Check, Difference, Page
from kappi_chassis.reconcile.reconciler import ReconcilePolicy, Reconciler

__all__ = ["Check", "Difference", "Page", "ReconcilePolicy", "Reconciler"]
