"""What is shipped for clusters: read, rendered and judged without a cluster."""
