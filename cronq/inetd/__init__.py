"""Serve `serve-inetd`: accept connections, read one line with a job's id, start that job."""
