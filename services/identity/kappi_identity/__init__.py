"""The identity service: accounts, sessions, tokens, tiers, and the admin panel."""
