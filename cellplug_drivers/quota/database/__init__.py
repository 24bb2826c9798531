"""The ``database`` quota driver: books in the API database."""
