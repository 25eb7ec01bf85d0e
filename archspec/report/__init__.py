"""What all results share when they are shown: styles, HTML, tables, numbers, safe text."""
