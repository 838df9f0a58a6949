"""The subcommands of `nim`, one module each."""
