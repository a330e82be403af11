"""What a person or a gateway can ask for, one room for each kind of work."""
