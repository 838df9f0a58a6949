"""Render templates to text. Pure: other packages write the files."""
