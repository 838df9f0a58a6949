"""The asset store: files that clients upload once and name in requests, as NVCF has them."""
