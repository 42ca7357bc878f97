"""What operators ask: one module for each noun."""
