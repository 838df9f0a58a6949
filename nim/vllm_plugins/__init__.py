"""Classes of this project that vLLM loads into its API server, by its flag --middleware."""
