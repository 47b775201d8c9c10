"""Use the operating system: log, audit, signals, alarms, background processes, systemd."""
