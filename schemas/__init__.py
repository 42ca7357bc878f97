"""Every shape that crosses a boundary. Pure: nothing here reads a clock, a socket or a database."""
