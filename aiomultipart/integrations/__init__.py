"""What other libraries need: one module for each, imported by whoever uses it, never by the package."""
