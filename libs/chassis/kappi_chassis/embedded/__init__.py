"""PostgreSQL and a Kafka-protocol broker that need no installation and leave no process behind.

For the one-machine stack and the tests. Each ends with the process that started it, even by kill -9.
"""
