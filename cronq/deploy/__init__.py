"""Generate files for cron, xinetd, systemd, supervisor and logrotate, for one installation."""
