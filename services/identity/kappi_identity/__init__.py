"""Identity: accounts, sessions, tokens, tiers, and the panel they are administered with."""
