"""What happens in a session, decided without I/O: values in, values out."""
