"""A service that labels texts over HTTP."""
