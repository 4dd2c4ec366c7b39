"""The service tree: load balancer, weighted, internal answers. One service kind a file."""
