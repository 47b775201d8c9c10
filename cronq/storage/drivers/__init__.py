"""Define the drivers of the databases: they execute statements, replace lost connections and classify errors."""
