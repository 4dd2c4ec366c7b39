"""The control process: supervision of providers and workers; aggregate, build, publish, ledger, view."""
