"""The second composition root: what a worker process runs. Imports nothing of the control plane."""
