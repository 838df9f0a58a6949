"""What NVCF has beside a model: files that are uploaded once, and answers that are asked for later."""
