"""Whether the conformance kit passes what is right and fails, for each fault, just what the fault breaks."""
