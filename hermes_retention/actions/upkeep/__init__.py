"""What changes a home outside a sweep: compact, forget, prune, prestart."""
