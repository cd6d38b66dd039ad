"""The chassis: the code that every service needs."""
