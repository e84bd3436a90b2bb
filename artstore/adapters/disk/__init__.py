"""What every adapter that writes to a disk stands on: durable files, errors of the system, fault points."""
