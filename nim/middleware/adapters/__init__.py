"""LoRA adapters of NIM_PEFT_SOURCE: found, checked, copied, and loaded into the running engine."""
