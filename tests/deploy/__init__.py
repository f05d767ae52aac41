"""What a site installs."""
