"""When jobs are to be enqueued: the rule, its definition, crontabs read and due times foreseen. No database."""
