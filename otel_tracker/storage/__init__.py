"""Files of a home: the document, its journal, its backups and its lock, and the transaction over them."""
