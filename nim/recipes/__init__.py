"""Import of public vLLM recipes: recipe file → manifest."""
