"""Sample media made by real encoders when a test asks for them: nothing binary is kept in the repository."""
