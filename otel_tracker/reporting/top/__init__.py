"""What `otel-tracker top` shows, as lines of text in levels: from the data of the page's views. Pure."""
