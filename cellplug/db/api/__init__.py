"""The API database: its tables, its queries, its migrations."""
