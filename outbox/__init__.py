"""What must still be true after a crash: all SQL, the transactions, leases, the vault, the relay, every server's client."""
