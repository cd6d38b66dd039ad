"""PostgreSQL and a Kafka-protocol broker with nothing to install and nothing left behind.

For the one-machine stack and the tests. Each ends with the process that started it, even by kill -9.
"""
