"""NIM Proxy: one address for many models and replicas. nginx carries the requests, a router decides.

The router reads the body of a request, finds the model in it, chooses a replica, and answers nginx with the
location that sends the request there. The answer of the replica does not pass Python.
"""
