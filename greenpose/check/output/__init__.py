"""A verdict in the forms that people, pull requests and CI systems read."""
