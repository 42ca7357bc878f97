"""What must still be true after a crash, on real PostgreSQL and real Kafka."""
