"""One file per command group. The table of commands is `artstore.cli.app.COMMANDS`."""
