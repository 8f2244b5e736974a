"""What an operator reads: text, made of plain data."""
