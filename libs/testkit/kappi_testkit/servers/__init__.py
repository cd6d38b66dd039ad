"""The servers of a test run: PostgreSQL, Kafka, S3 and the local store."""
