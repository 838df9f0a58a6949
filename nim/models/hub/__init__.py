"""The Hugging Face hub: the variables of its client, and the repositories in its cache."""
