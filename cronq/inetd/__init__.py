"""serve-inetd: sockets in, one line read, exactly that job started."""
