"""API and dashboard: reads control.view, writes nothing."""
