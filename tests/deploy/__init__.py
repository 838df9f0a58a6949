"""Tests of the deployment files, read, rendered and checked without a cluster."""
