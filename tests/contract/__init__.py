"""What is promised to others, without a running stack."""
