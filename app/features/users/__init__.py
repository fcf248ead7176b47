"""Users: accounts, keys and sessions."""
