"""The explorer: a local web page and a JSON API on which all results can be seen."""
