"""The weights of the parts that models are made of: attention, feed-forward networks, mixers, towers."""
