"""The ASGI side of a worker: the types an app sees, and its lifespan."""
