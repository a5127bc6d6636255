"""What ML Metadata records about a pipeline's runs."""
