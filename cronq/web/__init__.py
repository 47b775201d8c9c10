"""`cronq web`: the calls of the command line, shown in a browser (extra `web`)."""
