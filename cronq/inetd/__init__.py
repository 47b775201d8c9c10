"""Implement `serve-inetd`: accept connections, read one line with a job's id from each, start that job."""
