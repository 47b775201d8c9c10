"""What cronq asks of the operating system: log, audit, signals, alarms, background processes, systemd."""
