"""What subcommands print: text for people, and JSON objects."""
