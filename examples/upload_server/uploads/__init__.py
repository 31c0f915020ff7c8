"""The parts of the upload server; ``app.py`` beside this package puts them together."""
