"""An open inference microservice: one container that boots one model correctly and explains itself."""

__version__ = "0.1.0"
