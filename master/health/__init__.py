"""Health checks of upstream servers, done by the admin process: once per machine, whatever the workers do."""
