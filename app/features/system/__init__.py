"""System: components of the service, and free capacity."""
