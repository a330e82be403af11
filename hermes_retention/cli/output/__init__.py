"""How results look: on a terminal, as plain lines, as JSON. What is shown was found out elsewhere."""
