"""Search in what was archived: what is looked for, where it is looked for, and what was found."""
