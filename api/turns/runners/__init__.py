"""Who runs a turn: this process, or a worker behind RabbitMQ."""
