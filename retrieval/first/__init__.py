"""What answers while a build is on its way."""
